# case: 44, 22
# title: change user, groups and capabilities
# layer: identity
# expect: held
# doctor: yes
# seconds: 5
import errno
import os

REFUSALS = (errno.EPERM, errno.EINVAL)


def attack():
    if 0 in (os.getuid(), os.geteuid(), os.getgid(), os.getegid()) or 0 in os.getgroups():
        return f"escaped: runs as {os.getresuid()}, {os.getresgid()}, {os.getgroups()}"
    for name, action in {
        "setuid": lambda: os.setuid(0),
        "setreuid": lambda: os.setreuid(-1, 0),
        "setresuid": lambda: os.setresuid(0, 0, 0),
        "setgid": lambda: os.setgid(0),
        "setresgid": lambda: os.setresgid(0, 0, 0),
        "setgroups": lambda: os.setgroups([0]),
        "other user": lambda: os.setuid(os.getuid() + 1),
    }.items():
        try:
            action()
        except OSError as error:
            if error.errno not in REFUSALS:
                raise
        else:
            return f"escaped: {name} succeeded"
    return f"held: stays user {os.getuid()}"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
