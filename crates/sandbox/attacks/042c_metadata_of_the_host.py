# case: 42, 45
# title: change mode, owner and times of files outside of the workspace
# layer: pids
# expect: held
# doctor: no
# seconds: 5
import errno
import os
import sys

REFUSALS = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTSUP)


def attack():
    for path in (os.__file__, os.path.realpath(sys.executable), "/bin/sh", "/usr", "/etc/passwd", "/"):
        if not os.path.exists(path):
            continue
        status = os.stat(path)
        for name, action in {
            # The values that it already has: a machine that fails this test is not harmed by it.
            "chmod": lambda: os.chmod(path, status.st_mode & 0o7777),
            "chown": lambda: os.chown(path, os.getuid(), os.getgid()),
            "utime": lambda: os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns)),
            "setxattr": lambda: os.setxattr(path, "user.attack", b"x"),
            "truncate": lambda: os.truncate(path, status.st_size),
        }.items():
            try:
                action()
            except OSError as error:
                if error.errno not in REFUSALS + (errno.EISDIR,):
                    raise
            else:
                return f"escaped: {name} of {path}"
    return "held: no mode, owner or time could be changed"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
