# case: 11
# title: open files until the kernel refuses
# layer: none
# expect: held
# doctor: no
# seconds: 10
import errno
import os

FILES_MAX = 100_000


def attack():
    files = []
    try:
        while len(files) < FILES_MAX:
            files.append(os.open("/dev/null", os.O_RDONLY))
    except OSError as error:
        if error.errno != errno.EMFILE:
            raise
        return f"held: EMFILE after {len(files)} files"
    finally:
        for file in files:
            os.close(file)
    return f"escaped: {FILES_MAX} open files"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
