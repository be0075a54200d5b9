# case: 23
# title: take real-time priority
# layer: privileges
# expect: held
# doctor: no
# seconds: 5
import ctypes
import errno
import os
import platform
import struct

NUMBERS = {"x86_64": (314, 251), "aarch64": (274, 30)}

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def error_of(number, *arguments):
    """The error number of a system call, or None where it succeeded."""
    if libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, arguments)) == -1:
        return ctypes.get_errno()
    return None


def refused(name, action):
    try:
        action()
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EACCES):
            raise
        return None
    return f"escaped: {name} was allowed"


def attack():
    limit = os.sched_get_priority_max(os.SCHED_FIFO)
    answers = [
        refused("SCHED_FIFO", lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(limit))),
        refused("SCHED_RR", lambda: os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))),
        refused("nice -20", lambda: os.nice(-20)),
        refused("priority -5", lambda: os.setpriority(os.PRIO_PROCESS, 0, -5)),
    ]
    if any(answers):
        return next(filter(None, answers))
    if platform.machine() in NUMBERS:
        set_attributes, set_io = NUMBERS[platform.machine()]
        # size, policy SCHED_DEADLINE, flags, nice, priority, runtime, deadline, period
        deadline = ctypes.create_string_buffer(struct.pack("IIQiIQQQ", 48, 6, 0, 0, 0, 10**7, 10**8, 10**8))
        for name, error in (("SCHED_DEADLINE", error_of(set_attributes, 0, ctypes.addressof(deadline), 0)),
                            ("real-time disk access", error_of(set_io, 1, 0, 1 << 13))):
            if error not in (errno.EPERM, errno.ENOSYS):
                return f"escaped: {name} gave {errno.errorcode.get(error, 'success')}"
    return "held: no priority could be raised"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
