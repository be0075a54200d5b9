# case: 7
# title: write 8 GiB into one file
# layer: disk
# expect: held
# doctor: yes
# seconds: 20
import errno
import os

BLOCK = bytes(1 << 20)
BLOCKS_MAX = 8192
REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def attack():
    path = "attack-007"
    blocks = 0
    try:
        with open(path, "wb", buffering=0) as file:
            while blocks < BLOCKS_MAX:
                blocks += 1
                file.write(BLOCK)
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        refusal = errno.errorcode[error.errno]
    else:
        return "escaped: 8 GiB were written"
    finally:
        os.unlink(path)
    with open(path, "wb", buffering=0) as file:
        written = file.write(BLOCK)
    os.unlink(path)
    if written != len(BLOCK):
        return "escaped: the space of a deleted file did not come back"
    return f"held: {refusal} after {blocks} MiB, and the space came back"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
