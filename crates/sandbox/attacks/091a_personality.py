# case: 91
# title: switch protections of memory off
# layer: syscalls
# expect: held
# doctor: no
# seconds: 5
import ctypes
import errno
import platform

NUMBERS = {"x86_64": 135, "aarch64": 92}
VALUES = {"READ_IMPLIES_EXEC": 0x400000, "ADDR_NO_RANDOMIZE": 0x40000, "MMAP_PAGE_ZERO": 0x100000,
          "ADDR_COMPAT_LAYOUT": 0x200000, "PER_LINUX32": 8, "PER_SVR4": 0x4100001}

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
    for name, value in VALUES.items():
        error = error_of(NUMBERS[platform.machine()], value)
        if error is None:
            error_of(NUMBERS[platform.machine()], 0)
        if error not in (errno.EPERM, errno.ENOSYS):
            return f"escaped: {name} gave {errno.errorcode.get(error, 'success')}"
    return f"held: {len(VALUES)} personalities were refused"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
