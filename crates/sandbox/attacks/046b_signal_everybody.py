# case: 46
# title: signal every process that it may
# layer: signals
# expect: held
# doctor: no
# seconds: 5
import errno
import os
import signal


def attack():
    parent = os.getppid()
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(-1, number)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ESRCH):
                raise
    if os.getppid() != parent:
        return f"escaped: the parent {parent} is gone"
    return "held: the parent lives"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
