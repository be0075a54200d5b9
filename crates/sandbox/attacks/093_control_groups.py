# case: 93
# title: raise its own limits through the control group, or run a program when one empties
# layer: filesystem
# expect: held
# doctor: no
# seconds: 5
import errno
import os

REFUSALS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT)
NAMES = ["cgroup.procs", "cgroup.kill", "cgroup.subtree_control", "memory.max", "pids.max", "memory.limit_in_bytes",
         "release_agent", "notify_on_release", "devices.allow", "tasks", "memory.oom_control"]


def mounts():
    yield "/sys/fs/cgroup"
    try:
        with open("/proc/self/mountinfo") as file:
            for line in file:
                if " - cgroup" in line:
                    yield line.split()[4]
    except OSError as error:
        if error.errno not in REFUSALS:
            raise


def attack():
    tried = 0
    for mount in mounts():
        folders = [folder for folder, _, _ in os.walk(mount)][:200] or [mount]
        for folder in folders:
            for name in NAMES:
                tried += 1
                try:
                    os.close(os.open(os.path.join(folder, name), os.O_WRONLY))
                except OSError as error:
                    if error.errno not in REFUSALS:
                        raise
                else:
                    return f"escaped: {folder}/{name} is open for writing"
            try:
                os.mkdir(os.path.join(folder, "attack-093"))
            except OSError as error:
                if error.errno not in REFUSALS:
                    raise
            else:
                return f"escaped: made a control group in {folder}"
    return f"held: {tried} files of control groups are closed"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
