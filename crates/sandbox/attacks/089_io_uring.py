# case: 89
# title: use io_uring, which no filter of system calls sees through
# layer: syscalls
# expect: held
# doctor: yes
# seconds: 5
import ctypes
import errno

SETUP, ENTER, REGISTER = 425, 426, 427

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def error_of(number, *arguments):
    """The error number of a system call, or None where it succeeded."""
    if libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, arguments)) == -1:
        return ctypes.get_errno()
    return None


def attack():
    parameters = ctypes.create_string_buffer(120)
    for name, error in {
        "io_uring_setup": error_of(SETUP, 8, ctypes.addressof(parameters)),
        "io_uring_enter": error_of(ENTER, -1, 1, 0, 0, 0, 0),
        "io_uring_register": error_of(REGISTER, -1, 0, 0, 0),
    }.items():
        if error not in (errno.EPERM, errno.ENOSYS):
            return f"escaped: {name} gave {errno.errorcode.get(error, 'success')}"
    return "held: three calls were refused"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
