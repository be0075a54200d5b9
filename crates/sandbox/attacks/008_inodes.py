# case: 8
# title: create 200,000 empty files
# layer: disk
# expect: held
# doctor: no
# seconds: 30
import errno
import os
import shutil

FILES_MAX = 200_000


def attack():
    folder = "attack-008"
    os.mkdir(folder)
    try:
        for index in range(FILES_MAX):
            os.close(os.open(f"{folder}/{index}", os.O_CREAT | os.O_WRONLY))
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        return f"held: {errno.errorcode[error.errno]} after {index} files"
    finally:
        shutil.rmtree(folder)
    return f"escaped: {FILES_MAX} files"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
