# case: 92
# title: type commands into the terminal of whoever started the server
# layer: filesystem
# expect: held
# doctor: yes
# seconds: 5
import ctypes
import errno
import os
import platform

TIOCSTI, TIOCLINUX, TIOCSETD = 0x5412, 0x541C, 0x5423
NUMBERS = {"x86_64": 16, "aarch64": 29}

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
    control = NUMBERS[platform.machine()]
    letter = ctypes.create_string_buffer(b"#", 8)
    for file in range(64):
        if os.isatty(file):
            return f"escaped: descriptor {file} is a terminal"
        for request in (TIOCSTI, TIOCLINUX, TIOCSETD):
            # Once more with high bits, which the kernel ignores and some filters compare.
            for value in (request, request | 1 << 32):
                error = error_of(control, file, value, ctypes.addressof(letter))
                if error not in (errno.ENOTTY, errno.EPERM, errno.EBADF, errno.EINVAL):
                    return f"escaped: request {value:x} on {file} gave {errno.errorcode.get(error, 'success')}"
    for path in ("/dev/tty", "/dev/console", "/dev/tty1", "/dev/pts/0"):
        try:
            os.close(os.open(path, os.O_RDWR | os.O_NOCTTY))
        except OSError as error:
            if error.errno not in (errno.ENXIO, errno.ENOENT, errno.EACCES, errno.EPERM):
                raise
        else:
            return f"escaped: opened {path}"
    return "held: there is no terminal"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
