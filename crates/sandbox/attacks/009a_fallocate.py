# case: 9
# title: reserve 1 TiB of disk
# layer: disk
# expect: held
# doctor: no
# seconds: 5
import errno
import os

TIB = 1 << 40
REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EPERM, errno.ENOMEM)


def attack():
    path = "attack-009"
    file = os.open(path, os.O_CREAT | os.O_RDWR)
    try:
        os.posix_fallocate(file, 0, TIB)
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        return f"held: fallocate of 1 TiB gave {errno.errorcode[error.errno]}"
    finally:
        os.close(file)
        os.unlink(path)
    return "escaped: 1 TiB is reserved"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
