# case: 28
# title: look for files of another session
# layer: filesystem
# expect: held
# doctor: no
# seconds: 20
import os

# The test on the host's side puts a file of this name into another session's workspace.
MARKER = "marker-of-another-session"
SKIPPED = ("proc", "sys", "usr")


def attack():
    visited = 0
    for root in ("/", "/proc/1/root", "/proc/1/cwd", f"/proc/{os.getppid()}/cwd"):
        for folder, folders, files in os.walk(root):
            visited += 1
            if MARKER in files or MARKER in folders:
                return f"escaped: {folder}/{MARKER}"
            folders[:] = [name for name in folders if name not in SKIPPED]
    return f"held: not in {visited} visible folders"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
