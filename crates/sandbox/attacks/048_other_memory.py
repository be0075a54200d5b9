# case: 48
# title: trace and read the memory of other processes
# layer: syscalls
# expect: held
# doctor: yes
# seconds: 5
import ctypes
import errno
import os
import platform
import struct

NUMBERS = {"x86_64": (101, 310, 311, 312), "aarch64": (117, 270, 271, 272)}
PIDFD_GETFD, PIDFD_OPEN = 438, 434
PTRACE_TRACEME, PTRACE_ATTACH, PTRACE_SEIZE = 0, 16, 0x4206

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
    ptrace, read, write, compare = NUMBERS[platform.machine()]
    memory = ctypes.create_string_buffer(64)
    vector = ctypes.create_string_buffer(struct.pack("QQ", ctypes.addressof(memory), 8))
    where = ctypes.addressof(vector)
    answers = {"PTRACE_TRACEME": error_of(ptrace, PTRACE_TRACEME, 0, 0, 0)}
    # Itself as well: there the kernel has no reason to refuse, so that only the filter can.
    for name, pid in (("PID 1", 1), ("the parent", os.getppid()), ("itself", os.getpid())):
        answers[f"PTRACE_ATTACH to {name}"] = error_of(ptrace, PTRACE_ATTACH, pid, 0, 0)
        answers[f"PTRACE_SEIZE to {name}"] = error_of(ptrace, PTRACE_SEIZE, pid, 0, 0)
        answers[f"process_vm_readv of {name}"] = error_of(read, pid, where, 1, where, 1, 0)
        answers[f"process_vm_writev of {name}"] = error_of(write, pid, where, 1, where, 1, 0)
        answers[f"kcmp with {name}"] = error_of(compare, os.getpid(), pid, 1, 0, 0)
        file = libc.syscall(ctypes.c_long(PIDFD_OPEN), ctypes.c_long(pid), ctypes.c_long(0))
        answers[f"pidfd_getfd of {name}"] = error_of(PIDFD_GETFD, file, 0, 0)
        if file >= 0:
            os.close(file)
    for name, error in answers.items():
        if error not in (errno.EPERM, errno.ENOSYS):
            return f"escaped: {name} gave {errno.errorcode.get(error, 'success')}"
    return f"held: {len(answers)} calls were refused"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
