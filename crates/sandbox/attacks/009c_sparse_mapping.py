# case: 9, 5
# title: fill the holes of a sparse file through a mapping
# layer: disk
# expect: held|ends
# doctor: no
# seconds: 20
import errno
import mmap
import os

BLOCK = 1 << 20
TOTAL = 8 << 30


def attack():
    # Nobody else needs the name, and a killed process leaves nothing behind.
    file = os.open("attack-009c", os.O_CREAT | os.O_RDWR)
    os.unlink("attack-009c")
    try:
        os.ftruncate(file, TOTAL)
        mapping = mmap.mmap(file, TOTAL)
    except OSError as error:
        if error.errno not in (errno.EFBIG, errno.ENOMEM):
            raise
        return f"held: {errno.errorcode[error.errno]}"
    finally:
        os.close(file)
    block = b"x" * BLOCK
    for _ in range(TOTAL // BLOCK):
        mapping.write(block)
    mapping.close()
    return "escaped: 8 GiB were written"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
