# case: 25
# title: learn the accounts of the host's people
# layer: pids
# expect: held
# doctor: no
# seconds: 5
import errno
import os

PEOPLE = range(1000, 65_000)


def attack():
    try:
        with open("/etc/passwd") as file:
            lines = file.read().splitlines()
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.EACCES):
            raise
        return f"held: {errno.errorcode[error.errno]}"
    people = [line for line in lines if line.count(":") >= 6 and int(line.split(":")[2]) in PEOPLE]
    others = [line for line in people if int(line.split(":")[2]) != os.getuid()]
    if others:
        return f"escaped: {others[0]}"
    return f"held: {len(lines)} accounts, none of a person besides its own"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
