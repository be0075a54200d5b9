# case: 7
# title: write 8 GiB into files that are small enough for any limit per file
# layer: disk
# expect: held
# doctor: no
# seconds: 20
import errno
import os
import shutil

BLOCK = bytes(4 << 20)
FILES_MAX = 2048


def attack():
    folder = "attack-007b"
    os.mkdir(folder)
    try:
        for index in range(FILES_MAX):
            with open(f"{folder}/{index}", "wb", buffering=0) as file:
                if file.write(BLOCK) != len(BLOCK):
                    file.write(BLOCK)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        return f"held: {errno.errorcode[error.errno]} after {index} files of 4 MiB"
    finally:
        shutil.rmtree(folder)
    return "escaped: 8 GiB were written"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
