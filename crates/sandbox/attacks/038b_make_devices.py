# case: 38
# title: make device files of its own
# layer: privileges
# expect: held
# doctor: no
# seconds: 5
import errno
import os
import stat

# Memory, KVM, and the first disks of three kinds.
CHARACTER, BLOCK = stat.S_IFCHR, stat.S_IFBLK
NODES = [(CHARACTER, 1, 1), (CHARACTER, 10, 232), (BLOCK, 254, 0), (BLOCK, 8, 0), (BLOCK, 259, 0)]


def attack():
    for kind, major, minor in NODES:
        try:
            os.mknod("attack-038", kind | 0o600, os.makedev(major, minor))
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EACCES):
                raise
        else:
            os.unlink("attack-038")
            return f"escaped: made the device {major}:{minor}"
    return f"held: {len(NODES)} devices were refused"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
