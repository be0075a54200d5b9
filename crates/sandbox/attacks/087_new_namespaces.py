# case: 87
# title: make namespaces by unshare, clone and clone3
# layer: syscalls
# expect: held
# doctor: yes
# seconds: 10
import ctypes
import errno
import os
import platform
import signal
import struct

NUMBERS = {"x86_64": (272, 56), "aarch64": (97, 220)}
CLONE3 = 435
FLAGS = {"mount": 0x20000, "cgroup": 0x2000000, "uts": 0x4000000, "ipc": 0x8000000, "user": 0x10000000,
         "pid": 0x20000000, "network": 0x40000000, "time": 0x80}

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def error_of(number, *arguments):
    """The error number of a system call, or None where it succeeded."""
    if libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, arguments)) == -1:
        return ctypes.get_errno()
    return None


def in_child(action):
    """What `action` gives in a child: it must not change this process if it is allowed."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(action() or 0)
        finally:
            os._exit(255)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def attack():
    if platform.machine() not in NUMBERS:
        return "skipped: no system call numbers for this machine"
    unshare, clone = NUMBERS[platform.machine()]
    for name, flag in FLAGS.items():
        error = in_child(lambda: error_of(unshare, flag))
        if error != errno.EPERM:
            return f"escaped: unshare of {name} gave {errno.errorcode.get(error, error)}"
        if name == "time":
            continue  # To clone it is part of the signal's number.
        error = in_child(lambda: error_of(clone, flag | signal.SIGCHLD, 0, 0, 0, 0))
        if error != errno.EPERM:
            return f"escaped: clone with {name} gave {errno.errorcode.get(error, error)}"
    both = FLAGS["user"] | FLAGS["network"]
    for name, error in (("unshare", in_child(lambda: error_of(unshare, both))),
                        ("clone", in_child(lambda: error_of(clone, both | signal.SIGCHLD, 0, 0, 0, 0)))):
        if error != errno.EPERM:
            return f"escaped: {name} of two namespaces gave {errno.errorcode.get(error, error)}"
    arguments = ctypes.create_string_buffer(struct.pack("8Q", FLAGS["user"], 0, 0, 0, signal.SIGCHLD, 0, 0, 0), 88)
    error = in_child(lambda: error_of(CLONE3, ctypes.addressof(arguments), 64))
    if error != errno.ENOSYS:
        return f"escaped: clone3 gave {errno.errorcode.get(error, error)}"
    return "held: unshare and clone gave EPERM, clone3 ENOSYS"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
