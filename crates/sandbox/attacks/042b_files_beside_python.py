# case: 42, 77
# title: add files where Python and the system live
# layer: filesystem
# expect: held
# doctor: no
# seconds: 5
import errno
import os
import sys

REFUSALS = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT, errno.EXDEV)


def attack():
    with open("attack-042", "w") as file:
        file.write("content")
    folders = ["/", "/usr", "/usr/bin", "/etc", "/dev", "/proc"]
    folders += [os.path.dirname(os.__file__), os.path.dirname(sys.executable)]
    folders += [path for path in sys.path if os.path.isdir(path) and os.path.realpath(path) != os.getcwd()]
    for folder in folders:
        path = os.path.join(folder, "attack-042")
        for name, action in {
            "create": lambda: os.close(os.open(path, os.O_CREAT | os.O_WRONLY)),
            "mkdir": lambda: os.mkdir(path),
            "symlink": lambda: os.symlink("x", path),
            "rename": lambda: os.rename("attack-042", path),
        }.items():
            try:
                action()
            except OSError as error:
                if error.errno not in REFUSALS:
                    raise
            else:
                return f"escaped: {name} in {folder}"
    os.unlink("attack-042")
    return f"held: {len(folders)} folders cannot be changed"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
