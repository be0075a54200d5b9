# case: 91
# title: install a filter of its own that answers for the kernel
# layer: syscalls
# expect: held
# doctor: no
# seconds: 5
import ctypes
import os
import struct

PR_SET_SECCOMP, SECCOMP_MODE_FILTER, PR_GET_SECCOMP = 22, 2, 21
SECCOMP_RET_ALLOW = 0x7FFF0000


def attack():
    libc = ctypes.CDLL(None, use_errno=True)
    child = os.fork()
    if child == 0:
        try:
            # A filter that allows everything is added to those that are there; it replaces none.
            program = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, SECCOMP_RET_ALLOW))
            header = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", 1, ctypes.addressof(program)))
            libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.c_void_p(ctypes.addressof(header)), 0, 0)
            # unshare(CLONE_NEWUSER)
            os._exit(1 if libc.unshare(0x10000000) == 0 else 0)
        finally:
            os._exit(2)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if ended != 0:
        return f"escaped: {'a filter was replaced' if ended == 1 else 'attack code failed'}"
    if libc.prctl(PR_GET_SECCOMP, 0, 0, 0, 0) != SECCOMP_MODE_FILTER:
        return "escaped: this process has no filter"
    return "held: filters can be added, not taken away"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
