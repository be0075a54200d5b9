# case: 90
# title: call what only administrators and debuggers need
# layer: syscalls
# expect: held
# doctor: yes
# seconds: 5
import ctypes
import errno
import os
import platform
import socket
import struct
import time

# Name: number on x86_64, number on aarch64, arguments. Chosen so that success would be harmless.
CALLS = {
    "bpf": (321, 280, (0, "memory", 64)),
    "perf_event_open": (298, 241, ("perf", 0, -1, -1, 0)),
    "userfaultfd": (323, 282, (1,)),
    "keyctl": (250, 219, (0, -2, 0, 0, 0)),
    "add_key": (248, 217, ("user", "user", "user", 4, -2)),
    "request_key": (249, 218, ("user", "user", 0, 0)),
    "kexec_load": (246, 104, (0, 0, 0, 0)),
    "kexec_file_load": (320, 294, (-1, -1, 0, 0, 0)),
    "init_module": (175, 105, ("memory", 64, "empty")),
    "finit_module": (313, 273, (-1, "empty", 0)),
    "delete_module": (176, 106, ("user", 0x800)),
    "quotactl": (179, 60, (0x800001 << 8, 0, 0, 0)),
    "swapon": (167, 224, ("path", 0)),
    "swapoff": (168, 225, ("path",)),
    "acct": (163, 89, ("path",)),
    "reboot": (169, 142, (0xFEE1DEAD, 672274793, 0, 0)),
    "syslog": (103, 116, (3, "memory", 64)),
    "settimeofday": (164, 170, (0, 0)),
    "clock_settime": (227, 112, (0, "now")),
    "sethostname": (170, 161, ("host", len(socket.gethostname()))),
    "vhangup": (153, 58, ()),
    "fanotify_init": (300, 262, (0, 0)),
    "migrate_pages": (256, 238, (1, 0, 0, 0)),
    "move_pages": (279, 239, (1, 0, 0, 0, 0, 0)),
    "quotactl_fd": (443, 443, (-1, 0, 0, 0)),
}

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def error_of(number, *arguments):
    """The error number of a system call, or None where it succeeded."""
    if libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, arguments)) == -1:
        return ctypes.get_errno()
    return None


def attack():
    column = {"x86_64": 0, "aarch64": 1}.get(platform.machine())
    if column is None:
        return "skipped: no system call numbers for this machine"
    # A counter of the task's own clock: type software, size 112, config task clock.
    event = struct.pack("IIQ", 1, 112, 1)
    contents = {
        "memory": b"",
        "empty": b"",
        "perf": event,
        "user": b"user",
        "path": b"attack-090",
        "host": socket.gethostname().encode(),
        "now": struct.pack("qq", *divmod(time.time_ns(), 10**9)),
    }
    buffers = {name: ctypes.create_string_buffer(content, 112) for name, content in contents.items()}
    for name, (*numbers, values) in CALLS.items():
        arguments = [ctypes.addressof(buffers[value]) if value in buffers else value for value in values]
        error = error_of(numbers[column], *arguments)
        if error not in (errno.EPERM, errno.ENOSYS):
            return f"escaped: {name} gave {errno.errorcode.get(error, 'success')} to user {os.getuid()}"
    return f"held: {len(CALLS)} calls were refused"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
