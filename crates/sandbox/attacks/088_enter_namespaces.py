# case: 88
# title: enter the namespaces of other processes
# layer: syscalls
# expect: held
# doctor: no
# seconds: 5
import ctypes
import errno
import os
import platform

NUMBERS = {"x86_64": 308, "aarch64": 268}
PIDFD_OPEN, CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 434, 0x20000, 0x10000000, 0x40000000

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def error_of(number, *arguments):
    """The error number of a system call, or None where it succeeded."""
    if libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, arguments)) == -1:
        return ctypes.get_errno()
    return None


def attack():
    if platform.machine() not in NUMBERS:
        return "skipped: no system call numbers for this machine"
    tried, enter = 0, NUMBERS[platform.machine()]
    files = [-1]
    for pid in ("self", "1", str(os.getppid())):
        for name in ("mnt", "user", "net", "pid", "pid_for_children", "ipc", "uts", "cgroup", "time"):
            try:
                files.append(os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY))
            except OSError as error:
                if error.errno not in (errno.EACCES, errno.EPERM, errno.ENOENT):
                    raise
    for pid in (1, os.getpid(), os.getppid()):
        file = libc.syscall(ctypes.c_long(PIDFD_OPEN), ctypes.c_long(pid), ctypes.c_long(0))
        if file >= 0:
            files.append(file)
    try:
        for file in files:
            for flags in (0, CLONE_NEWNS, CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET):
                tried += 1
                error = error_of(enter, file, flags)
                if error != errno.EPERM:
                    return f"escaped: setns gave {errno.errorcode.get(error, 'success')}"
    finally:
        for file in files[1:]:
            os.close(file)
    return f"held: {tried} calls of setns gave EPERM"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
