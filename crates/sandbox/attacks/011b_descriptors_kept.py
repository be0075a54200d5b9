# case: 11
# title: use every descriptor and keep it over the end of the cell
# layer: none
# expect: held
# doctor: no
# seconds: 10
import errno
import os

kept, kept_refusal = [], None
while len(kept) < 100_000:
    try:
        kept.append(os.open("/dev/null", os.O_RDONLY))
    except OSError as error:
        kept_refusal = error.errno
        break
len(kept)
# --- next cell
1 / 0
# --- next cell
import errno
import os


def attack():
    count = len(kept)
    while kept:
        os.close(kept.pop())
    if kept_refusal != errno.EMFILE:
        return f"escaped: {count} files, then error {kept_refusal}"
    return f"held: EMFILE after {count} files, and two cells ran without a free descriptor"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
