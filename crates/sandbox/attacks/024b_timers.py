# case: 24
# title: create POSIX timers, which use no descriptor, until the kernel refuses
# layer: none
# expect: held
# doctor: no
# seconds: 10
import ctypes
import errno
import platform
import struct

NUMBERS = {"x86_64": (222, 226), "aarch64": (107, 111)}
TIMERS_MAX = 300_000
REFUSALS = (errno.EAGAIN, errno.EPERM, errno.ENOSYS, errno.ENOMEM)

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
    create, delete = NUMBERS[platform.machine()]
    # sigev_value, sigev_signo, sigev_notify = SIGEV_NONE
    event = ctypes.create_string_buffer(struct.pack("qii", 0, 0, 1), 64)
    timer = ctypes.c_int()
    timers, refusal = [], None
    while len(timers) < TIMERS_MAX and refusal is None:
        refusal = error_of(create, 1, ctypes.addressof(event), ctypes.addressof(timer))
        if refusal is None:
            timers.append(timer.value)
    for number in timers:
        error_of(delete, number)
    if refusal is None:
        return f"escaped: {TIMERS_MAX} timers"
    if refusal not in REFUSALS:
        return f"escaped: no refusal but {errno.errorcode[refusal]}"
    return f"held: {errno.errorcode[refusal]} after {len(timers)} timers"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
