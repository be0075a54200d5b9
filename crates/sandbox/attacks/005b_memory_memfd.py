# case: 5
# title: write 8 GiB into memory files, which no quota of a file system counts
# layer: memory
# expect: held|ends
# doctor: no
# seconds: 20
import errno
import os

BLOCK = 64 << 20
BLOCKS_MAX = 128
REFUSALS = (errno.EPERM, errno.ENOSYS, errno.ENOMEM, errno.ENOSPC)


def attack():
    block = b"x" * BLOCK
    files = []
    try:
        while len(files) < BLOCKS_MAX:
            files.append(os.memfd_create("attack"))
            if os.write(files[-1], block) != BLOCK:
                return f"held: a short write after {len(files)} files of 64 MiB"
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        return f"held: {errno.errorcode[error.errno]} after {len(files)} files of 64 MiB"
    finally:
        for file in files:
            os.close(file)
    return "escaped: 8 GiB were written"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
