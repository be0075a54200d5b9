# case: 46
# title: signal the parent by every other call
# layer: signals
# expect: held
# doctor: no
# seconds: 5
import ctypes
import errno
import os
import platform
import signal
import struct

NUMBERS = {"x86_64": (200, 234, 129, 297), "aarch64": (130, 131, 138, 240)}
PIDFD_SEND_SIGNAL, PIDFD_OPEN = 424, 434

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
    tkill, tgkill, queue, queue_thread = NUMBERS[platform.machine()]
    # si_signo, si_errno, si_code = SI_QUEUE, si_pid, si_uid
    fields = struct.pack("iiixxxxiI", signal.SIGTERM, 0, -1, os.getpid(), os.getuid())
    details = ctypes.create_string_buffer(fields, 128)
    where, number = ctypes.addressof(details), int(signal.SIGTERM)
    refusals = (errno.EPERM, errno.ENOSYS)
    for parent in {1, os.getppid()} - {0}:
        answers = {
            "tkill": error_of(tkill, parent, number),
            "tgkill": error_of(tgkill, parent, parent, number),
            "rt_sigqueueinfo": error_of(queue, parent, number, where),
            "rt_tgsigqueueinfo": error_of(queue_thread, parent, parent, number, where),
        }
        file = libc.syscall(ctypes.c_long(PIDFD_OPEN), ctypes.c_long(parent), ctypes.c_long(0))
        if file >= 0:
            answers["pidfd_send_signal"] = error_of(PIDFD_SEND_SIGNAL, file, number, 0, 0)
            os.close(file)
        for name, error in answers.items():
            if error not in refusals:
                return f"escaped: {name} to {parent} gave {errno.errorcode.get(error, 'success')}"
    return "held: no call reaches the parent"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
