# case: 36
# title: read memory, files and environment of PID 1 and of the parent
# layer: filesystem
# expect: held
# doctor: yes
# seconds: 5
import errno
import os

REFUSALS = (errno.EACCES, errno.EPERM, errno.ENOENT, errno.ESRCH)
FILES = ["environ", "mem", "maps", "auxv", "syscall", "stack", "io", "pagemap", "exe", "root/etc/shadow"]
LINKS = ["root", "cwd", "exe", "ns/mnt", "ns/user", "ns/net"]
FOLDERS = ["fd", "fdinfo", "map_files", "root", "cwd", "task/1/fd"]


def read(path):
    with open(path, "rb") as file:
        return file.read(1)


def attack():
    tried = 0
    for pid in {1, os.getppid()} - {0, os.getpid()}:
        actions = [(name, read) for name in FILES]
        actions += [(name, os.readlink) for name in LINKS] + [(name, os.listdir) for name in FOLDERS]
        for name, action in actions:
            tried += 1
            try:
                answer = action(f"/proc/{pid}/{name}")
            except OSError as error:
                if error.errno not in REFUSALS:
                    raise
            else:
                return f"escaped: /proc/{pid}/{name} gave {answer!r:.60}"
    return f"held: {tried} reads were refused"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
