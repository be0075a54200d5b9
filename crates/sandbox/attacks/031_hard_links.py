# case: 31
# title: take files of the host into the workspace by hard links
# layer: filesystem
# expect: held
# doctor: no
# seconds: 5
import ctypes
import errno
import os
import sys

REFUSALS = (errno.EXDEV, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT)
AT_FDCWD, AT_SYMLINK_FOLLOW, AT_EMPTY_PATH = -100, 0x400, 0x1000


def attack():
    libc = ctypes.CDLL(None, use_errno=True)
    open_file = os.open(os.__file__, os.O_RDONLY)
    linked = [(AT_FDCWD, path.encode(), AT_SYMLINK_FOLLOW) for path in
              ("/etc/shadow", "/etc/passwd", "/bin/sh", os.__file__, sys.executable, "/proc/self/exe", "/proc/1/exe",
               f"/proc/self/fd/{open_file}")]
    linked.append((open_file, b"", AT_EMPTY_PATH))
    try:
        for folder, path, flags in linked:
            if libc.linkat(folder, path, AT_FDCWD, b"attack-031", flags) == 0:
                os.unlink("attack-031")
                return f"escaped: linked {path.decode() or 'an open file'}"
            if ctypes.get_errno() not in REFUSALS:
                return f"escaped: {path.decode()} gave {errno.errorcode[ctypes.get_errno()]}"
    finally:
        os.close(open_file)
    return f"held: {len(linked)} links were refused"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
