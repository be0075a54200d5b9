# case: 38, 93
# title: read /sys beyond the list of processors, and write to it
# layer: filesystem
# expect: held
# doctor: no
# seconds: 5
import errno
import os

REFUSALS = (errno.ENOENT, errno.EACCES, errno.EPERM, errno.EROFS)
# What libraries ask for the number of processors; nobody may write there.
PROCESSORS = "/sys/devices/system/cpu"


def attack():
    def failed(error):
        if error.errno not in REFUSALS:
            raise error

    writable = ["/sys/kernel/uevent_helper", "/sys/power/state", "/sys/kernel/mm/ksm/run", "/sys/fs/cgroup/cgroup.procs"]
    for folder, folders, files in os.walk("/sys", onerror=failed):
        is_known = folder.startswith(PROCESSORS) or PROCESSORS.startswith(folder)
        if not is_known or (files and not folder.startswith(PROCESSORS)):
            return f"escaped: /sys shows {folder} with {sorted(folders + files)[:10]}"
        writable += [os.path.join(folder, name) for name in files]
    for path in writable:
        try:
            os.close(os.open(path, os.O_WRONLY))
        except OSError as error:
            if error.errno not in REFUSALS:
                raise
        else:
            return f"escaped: {path} is open for writing"
    return f"held: {len(writable)} files of /sys cannot be written"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
