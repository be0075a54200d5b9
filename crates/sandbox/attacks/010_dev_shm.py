# case: 10
# title: write 8 GiB into /dev/shm
# layer: disk
# expect: held
# doctor: no
# seconds: 20
import errno
import os

BLOCK = bytes(1 << 20)
BLOCKS_MAX = 8192
CLOSED = (errno.EACCES, errno.EPERM, errno.ENOENT, errno.EROFS)


def attack():
    path = "/dev/shm/attack-010"
    try:
        file = os.open(path, os.O_CREAT | os.O_WRONLY)
    except OSError as error:
        if error.errno not in CLOSED:
            raise
        return f"held: /dev/shm is closed with {errno.errorcode[error.errno]}"
    blocks = 0
    try:
        while blocks < BLOCKS_MAX:
            blocks += 1
            os.write(file, BLOCK)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        return f"held: {errno.errorcode[error.errno]} after {blocks} MiB"
    finally:
        os.close(file)
        os.unlink(path)
    return "escaped: 8 GiB were written"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
