# case: 26, 27
# title: walk the whole tree for files that are neither system, Python nor its own
# layer: filesystem
# expect: held
# doctor: no
# seconds: 20
import os
import sys

# Of /sys there is what libraries ask for the number of processors.
SYSTEM = ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/usr", "/etc", "/dev", "/proc", "/tmp",
          "/sys/devices/system/cpu"]


def allowed():
    python = [sys.prefix, sys.base_prefix, sys.exec_prefix, os.path.dirname(os.path.realpath(sys.executable))]
    own = [os.getcwd(), os.environ.get("HOME", "/tmp")]
    return {os.path.realpath(path) for path in SYSTEM + python + sys.path + own}


def attack():
    skipped = allowed() - {"/"}
    visited = 0
    for folder, folders, files in os.walk("/"):
        folders[:] = [name for name in folders if os.path.realpath(os.path.join(folder, name)) not in skipped]
        visited += 1
        for name in files:
            path = os.path.join(folder, name)
            if not os.path.islink(path) and os.access(path, os.R_OK):
                return f"escaped: {path} is readable"
    return f"held: no file in {visited} visible folders"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
