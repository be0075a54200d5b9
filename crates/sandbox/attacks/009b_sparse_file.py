# case: 9
# title: leave a sparse file of 1 TiB for whoever copies the workspace
# layer: disk
# expect: held
# doctor: no
# seconds: 10
import errno
import os

sparse_refusal = None
with open("attack-009b", "wb") as file:
    file.write(b"begin")
    try:
        file.truncate(1 << 40)
    except OSError as error:
        if error.errno != errno.EFBIG:
            raise
        sparse_refusal = "EFBIG"
# --- next cell
import os


def attack():
    try:
        status = os.stat("attack-009b")
        with open("attack-009b", "rb") as file:
            begin = file.read(5)
    finally:
        os.unlink("attack-009b")
    if begin != b"begin":
        return f"escaped: the sparse file now begins with {begin!r}"
    if sparse_refusal is None and status.st_size != 1 << 40:
        return f"escaped: the sparse file now has {status.st_size} bytes"
    if status.st_blocks * 512 > 1 << 20:
        return f"escaped: the sparse file now takes {status.st_blocks} blocks"
    return f"held: {sparse_refusal or 'the file stayed sparse'}"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
