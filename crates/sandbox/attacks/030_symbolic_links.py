# case: 30
# title: links out of the workspace, left there over a cell
# layer: filesystem
# expect: held
# doctor: no
# seconds: 5
import os

os.mkdir("attack-030")
for link, target in {
    "absolute": "/etc/shadow",
    "relative": "../" * 40 + "etc/shadow",
    "folder": "/",
    "process": "/proc/1/root" + "/etc/shadow",
    "chain": "absolute",
    "loop": "loop",
    "dangling": "no-such-file",
}.items():
    os.symlink(target, f"attack-030/{link}")
# --- next cell
import errno
import os
import shutil

REFUSALS = (errno.ENOENT, errno.EACCES, errno.EPERM, errno.ELOOP)


def attack():
    links = sorted(os.listdir("attack-030"))
    try:
        if len(links) != 7 or not all(os.path.islink(f"attack-030/{link}") for link in links):
            return f"escaped: the links became {links}"
        for link in ("absolute", "relative", "folder/etc/shadow", "process", "chain", "loop", "dangling"):
            try:
                os.close(os.open(f"attack-030/{link}", os.O_RDONLY))
            except OSError as error:
                if error.errno not in REFUSALS:
                    raise
            else:
                return f"escaped: {link} was opened"
    finally:
        shutil.rmtree("attack-030")
    return "held: seven links led nowhere and are still links"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
