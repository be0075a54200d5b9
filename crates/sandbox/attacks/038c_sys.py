# case: 38, 93
# title: read and write /sys
# layer: filesystem
# expect: held
# doctor: no
# seconds: 5
import errno
import os

REFUSALS = (errno.ENOENT, errno.EACCES, errno.EPERM, errno.EROFS)


def attack():
    try:
        seen = os.listdir("/sys")
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        seen = []
    if seen:
        return f"escaped: /sys shows {sorted(seen)}"
    for name in ("kernel/uevent_helper", "power/state", "kernel/mm/ksm/run", "fs/cgroup/cgroup.procs"):
        path = os.path.join("/sys", name)
        try:
            os.close(os.open(path, os.O_WRONLY))
        except OSError as error:
            if error.errno not in REFUSALS:
                raise
        else:
            return f"escaped: {path} is open for writing"
    return "held: /sys is empty or closed"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
