# case: 44
# title: hold or take capabilities
# layer: privileges
# expect: held
# doctor: yes
# seconds: 5
import ctypes
import errno
import platform
import struct

NUMBERS = {"x86_64": (125, 126), "aarch64": (90, 91)}
VERSION_3 = 0x20080522
PR_CAPBSET_READ, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, PR_SET_SECUREBITS, PR_GET_NO_NEW_PRIVS = 23, 47, 2, 28, 39

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
    get, change = NUMBERS[platform.machine()]
    header = ctypes.create_string_buffer(struct.pack("Ii", VERSION_3, 0))
    sets = ctypes.create_string_buffer(24)
    if error_of(get, ctypes.addressof(header), ctypes.addressof(sets)) is not None:
        return "escaped: attack code failed: capget"
    halves = zip(*struct.iter_unpack("III", sets.raw))
    effective, permitted, inheritable = (low | high << 32 for low, high in halves)
    if effective or permitted or inheritable:
        return f"escaped: effective {effective:x}, permitted {permitted:x}, inheritable {inheritable:x}"
    for capability in range(41):
        bit = 1 << capability
        wanted = ctypes.create_string_buffer(struct.pack("IIIIII", *[bit & 0xFFFFFFFF] * 3, *[bit >> 32] * 3))
        error = error_of(change, ctypes.addressof(header), ctypes.addressof(wanted))
        if error != errno.EPERM:
            return f"escaped: capability {capability} gave {errno.errorcode.get(error, 'success')}"
        if libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) == 0:
            return f"escaped: capability {capability} is ambient"
    bounding = [capability for capability in range(41) if libc.prctl(PR_CAPBSET_READ, capability, 0, 0, 0) == 1]
    if bounding and libc.prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1:
        return f"escaped: the bounding set still has {bounding}"
    if libc.prctl(PR_SET_SECUREBITS, 0, 0, 0, 0) == 0:
        return "escaped: the secure bits could be changed"
    return "held: all sets are empty and stay so"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
