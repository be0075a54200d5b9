# case: 94
# title: write into a file that it may only read, through the pages of a pipe
# layer: none
# expect: held
# doctor: no
# seconds: 5
import ctypes
import errno
import os
import platform

NUMBERS = {"x86_64": (275, 278), "aarch64": (76, 75)}
CONTENT = b"may only be read" * 256

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
    splice, vmsplice = NUMBERS[platform.machine()]
    with open("attack-094", "wb") as file:
        file.write(CONTENT)
    os.chmod("attack-094", 0o400)
    file = os.open("attack-094", os.O_RDONLY)
    reader, writer = os.pipe()
    try:
        # Fill and empty the pipe, so that its buffers remember that they may be written.
        os.write(writer, bytes(4096))
        os.read(reader, 4096)
        refusal = error_of(splice, file, 0, writer, 0, 1, 0)
        if refusal is None:
            os.write(writer, b"OVERWRITTEN")
        page = ctypes.create_string_buffer(4096)
        vector = (ctypes.c_ulong * 2)(ctypes.addressof(page), 4096)
        # SPLICE_F_GIFT | SPLICE_F_NONBLOCK
        error_of(vmsplice, writer, ctypes.addressof(vector), 1, 10)
        with open("attack-094", "rb") as again:
            changed = again.read() != CONTENT
    finally:
        for end in (file, reader, writer):
            os.close(end)
        os.unlink("attack-094")
    if changed:
        return "escaped: the file was changed"
    if refusal not in (None, errno.EPERM, errno.ENOSYS):
        return f"escaped: attack code failed: splice gave {errno.errorcode[refusal]}"
    return f"held: the file is unchanged ({'splice works' if refusal is None else 'no splice'})"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
