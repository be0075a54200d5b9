# case: 24
# title: create event objects until the kernel refuses
# layer: none
# expect: held
# doctor: no
# seconds: 10
import ctypes
import errno
import os

OBJECTS_MAX = 100_000
REFUSALS = (errno.EMFILE, errno.ENFILE, errno.EPERM, errno.ENOSYS, errno.ENOMEM)


def attack():
    libc = ctypes.CDLL(None, use_errno=True)
    makers = {
        "eventfd": lambda: libc.eventfd(0, 0),
        "timerfd": lambda: libc.timerfd_create(1, 0),
        "inotify": lambda: libc.inotify_init1(0),
        "epoll": lambda: libc.epoll_create1(0),
        "signalfd": lambda: libc.signalfd(-1, ctypes.create_string_buffer(128), 0),
    }
    seen = []
    for name, make in makers.items():
        files, refusal = [], None
        while len(files) < OBJECTS_MAX and refusal is None:
            file = make()
            if file == -1:
                refusal = ctypes.get_errno()
            else:
                files.append(file)
        for file in files:
            os.close(file)
        if refusal not in REFUSALS:
            return f"escaped: {len(files)} objects of {name}, then error {refusal}"
        seen.append(f"{name} {errno.errorcode[refusal]} after {len(files)}")
    return f"held: {', '.join(seen)}"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
