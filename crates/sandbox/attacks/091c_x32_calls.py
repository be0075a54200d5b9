# case: 91
# title: make calls by the numbers of the x32 interface, which filters overlook
# layer: syscalls
# expect: held
# doctor: yes
# seconds: 5
import ctypes
import errno
import platform

X32 = 0x40000000
# getpid, socket, ptrace, unshare, io_uring_setup, and two that only x32 has
NUMBERS = (39, 41, 101, 272, 425, 520, 521)

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def error_of(number, *arguments):
    """The error number of a system call, or None where it succeeded."""
    if libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, arguments)) == -1:
        return ctypes.get_errno()
    return None


def attack():
    if platform.machine() != "x86_64":
        return "skipped: only x86_64 has x32"
    for number in NUMBERS:
        error = error_of(X32 | number, 0, 0, 0, 0)
        if error not in (errno.EPERM, errno.ENOSYS):
            return f"escaped: call {number} gave {errno.errorcode.get(error, 'success')}"
    return f"held: {len(NUMBERS)} calls were refused"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
