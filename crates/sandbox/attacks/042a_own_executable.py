# case: 42
# title: overwrite the running Python and its library
# layer: filesystem
# expect: held
# doctor: yes
# seconds: 5
import errno
import glob
import os
import sys

REFUSALS = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT)


def refused(path, flags=os.O_WRONLY):
    try:
        os.close(os.open(path, flags))
    except OSError as error:
        if error.errno == errno.ETXTBSY:
            # In use just now, which the kernel asks first: then its folder has to be closed for writing.
            return refused(os.path.join(os.path.dirname(os.path.realpath(path)), "attack-042"), flags | os.O_CREAT)
        if error.errno not in REFUSALS:
            raise
        return True
    return False


def attack():
    handle = os.open("/proc/self/exe", os.O_PATH) if os.path.exists("/proc/self/exe") else -1
    paths = ["/proc/self/exe", sys.executable, os.path.realpath(sys.executable), os.__file__, "/bin/sh", "/usr/bin/env",
             "/proc/1/exe", f"/proc/self/fd/{handle}", "/etc/passwd", "/etc/ld.so.cache", "/etc/ld.so.preload"]
    paths += glob.glob("/lib/*/libc.so.6") + [module.__file__ for module in list(sys.modules.values())
                                              if getattr(module, "__file__", None)][:200]
    try:
        for path in paths:
            if not refused(path):
                return f"escaped: {path} is open for writing"
    finally:
        if handle != -1:
            os.close(handle)
    return f"held: {len(paths)} files cannot be written"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
