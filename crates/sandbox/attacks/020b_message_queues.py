# case: 20
# title: leave message queues behind
# layer: none
# expect: held
# doctor: no
# seconds: 10
import ctypes
import errno
import os

QUEUES_MAX = 2000
REFUSALS = (errno.EPERM, errno.ENOSYS, errno.EACCES, errno.EMFILE, errno.ENOSPC, errno.ENOMEM)


def attack():
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "mq_open"):
        libc = ctypes.CDLL("librt.so.1", use_errno=True)
    names, refusal = [], None
    try:
        while len(names) < QUEUES_MAX:
            name = f"/attack-020-{len(names)}".encode()
            queue = libc.mq_open(name, os.O_CREAT | os.O_RDWR, 0o600, None)
            if queue == -1:
                refusal = ctypes.get_errno()
                break
            names.append(name)
            libc.mq_close(queue)
    finally:
        for name in names:
            libc.mq_unlink(name)
    if refusal is None:
        return f"escaped: {QUEUES_MAX} queues"
    if refusal not in REFUSALS:
        return f"escaped: no refusal but {errno.errorcode[refusal]}"
    return f"held: {errno.errorcode[refusal]} after {len(names)} queues"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
