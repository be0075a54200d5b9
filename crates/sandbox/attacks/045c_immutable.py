# case: 45
# title: make files that cannot be deleted
# layer: privileges
# expect: held
# doctor: no
# seconds: 5
import errno
import fcntl
import os
import struct

FS_IOC_SETFLAGS, FS_IOC_FSSETXATTR = 0x40086602, 0x401C5820
IMMUTABLE, APPEND_ONLY = 0x10, 0x20
REFUSALS = (errno.EPERM, errno.EACCES, errno.ENOTTY, errno.EOPNOTSUPP, errno.EINVAL)


def attack():
    path = "attack-045c"
    file = os.open(path, os.O_CREAT | os.O_RDWR)
    try:
        for request, value in ((FS_IOC_SETFLAGS, struct.pack("q", IMMUTABLE)),
                               (FS_IOC_SETFLAGS, struct.pack("q", APPEND_ONLY)),
                               (FS_IOC_FSSETXATTR, struct.pack("5I8x", 8, 0, 0, 0, 0))):
            try:
                fcntl.ioctl(file, request, value)
            except OSError as error:
                if error.errno not in REFUSALS:
                    raise
            else:
                return f"escaped: request {request:x} made the file immutable"
        for attribute in ("trusted.attack", "security.capability"):
            try:
                os.setxattr(path, attribute, b"\0" * 20)
            except OSError as error:
                if error.errno not in REFUSALS:
                    raise
            else:
                return f"escaped: wrote {attribute}"
    finally:
        os.close(file)
        os.unlink(path)
    return "held: files stay deletable and without capabilities"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
