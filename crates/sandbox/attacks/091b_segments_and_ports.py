# case: 91
# title: change segment descriptors and reach the ports of the machine
# layer: syscalls
# expect: held
# doctor: no
# seconds: 5
import ctypes
import errno
import platform
import struct

MODIFY_LDT, IOPL, IOPERM = 154, 172, 173

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def error_of(number, *arguments):
    """The error number of a system call, or None where it succeeded."""
    if libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, arguments)) == -1:
        return ctypes.get_errno()
    return None


def attack():
    if platform.machine() != "x86_64":
        return "skipped: only x86_64 has segments"
    # entry_number, base_addr, limit, flags (32 bit segment, usable)
    entry = ctypes.create_string_buffer(struct.pack("4I", 0, 0, 0xFFFF, 0b1010001))
    for name, error in {
        "modify_ldt": error_of(MODIFY_LDT, 1, ctypes.addressof(entry), 16),
        "modify_ldt of the new kind": error_of(MODIFY_LDT, 0x11, ctypes.addressof(entry), 16),
        "iopl": error_of(IOPL, 3),
        "ioperm": error_of(IOPERM, 0x80, 1, 1),
    }.items():
        # modify_ldt cuts the sign of its error off.
        if error not in (errno.EPERM, errno.ENOSYS):
            return f"escaped: {name} gave {errno.errorcode.get(error, 'success')}"
    return "held: four calls were refused"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
