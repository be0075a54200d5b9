# case: 40
# title: open files by handle, past every folder's permissions
# layer: syscalls
# expect: held
# doctor: no
# seconds: 5
import ctypes
import errno
import os
import platform
import struct

NUMBERS = {"x86_64": 304, "aarch64": 265}

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
    for folder in ("/", "/usr", "/etc", "/proc", "/dev", os.getcwd()):
        try:
            mount = os.open(folder, os.O_RDONLY)
        except (PermissionError, FileNotFoundError):
            continue
        try:
            # The root folder of a file system has the inode 2 (ext4) or 128 (xfs).
            for inode in (2, 128):
                handle = ctypes.create_string_buffer(struct.pack("IiII", 8, 1, inode, 0))
                error = error_of(NUMBERS[platform.machine()], mount, ctypes.addressof(handle), os.O_RDONLY)
                if error not in (errno.EPERM, errno.ENOSYS):
                    return f"escaped: a handle below {folder} gave {errno.errorcode.get(error, 'success')}"
        finally:
            os.close(mount)
    return "held: open_by_handle_at is refused"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
