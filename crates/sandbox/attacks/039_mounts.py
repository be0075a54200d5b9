# case: 39
# title: mount, unmount and change the root
# layer: syscalls
# expect: held
# doctor: yes
# seconds: 5
import ctypes
import errno
import os
import platform

NUMBERS = {"x86_64": (165, 166, 155, 161), "aarch64": (40, 39, 41, 51)}
OPEN_TREE, MOVE_MOUNT, FSOPEN, FSCONFIG, FSMOUNT, FSPICK, MOUNT_SETATTR = 428, 429, 430, 431, 432, 433, 442
AT_FDCWD = -100
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE, MS_MOVE = 1, 32, 4096, 16384, 1 << 18, 8192

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def error_of(number, *arguments):
    """The error number of a system call, or None where it succeeded."""
    if libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, arguments)) == -1:
        return ctypes.get_errno()
    return None


def attack():
    if platform.machine() not in NUMBERS:
        return "skipped: no system call numbers for this machine"
    mount, unmount, pivot_root, change_root = NUMBERS[platform.machine()]
    texts = {}

    def text(value):
        texts[value] = ctypes.create_string_buffer(value.encode())
        return ctypes.addressof(texts[value])

    os.makedirs("attack-039", exist_ok=True)
    here, attributes = text("attack-039"), ctypes.create_string_buffer(32)
    calls = {
        "mount tmpfs": (mount, text("none"), here, text("tmpfs"), 0, 0),
        "mount proc": (mount, text("none"), here, text("proc"), 0, 0),
        "mount cgroup": (mount, text("none"), here, text("cgroup2"), 0, 0),
        "mount overlay": (mount, text("none"), here, text("overlay"), 0, text("lowerdir=/,upperdir=/tmp,workdir=/tmp")),
        "bind": (mount, text("/etc"), here, 0, MS_BIND | MS_REC, 0),
        "move": (mount, text("/tmp"), here, 0, MS_MOVE, 0),
        "remount writable": (mount, 0, text("/usr"), 0, MS_REMOUNT | MS_BIND, 0),
        "make private": (mount, 0, text("/"), 0, MS_PRIVATE | MS_REC, 0),
        "unmount": (unmount, text("/proc"), 2),
        "pivot_root": (pivot_root, text("."), here),
        "chroot": (change_root, here),
        "open_tree": (OPEN_TREE, AT_FDCWD, text("/"), 1),
        "move_mount": (MOVE_MOUNT, AT_FDCWD, text("/tmp"), AT_FDCWD, here, 0),
        "fsopen": (FSOPEN, text("tmpfs"), 0),
        "fsconfig": (FSCONFIG, -1, 6, 0, 0, 0),
        "fsmount": (FSMOUNT, -1, 0, 0),
        "fspick": (FSPICK, AT_FDCWD, text("/usr"), 0),
        "mount_setattr": (MOUNT_SETATTR, AT_FDCWD, text("/usr"), 0x8000, ctypes.addressof(attributes), 32),
    }
    try:
        for name, call in calls.items():
            error = error_of(*call)
            if error not in (errno.EPERM, errno.ENOSYS):
                return f"escaped: {name} gave {errno.errorcode.get(error, 'success')}"
    finally:
        os.rmdir("attack-039")
    return f"held: {len(calls)} calls were refused"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
