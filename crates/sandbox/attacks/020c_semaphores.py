# case: 20, 6
# title: hoard 8 GiB in System V semaphores, which outlive the process
# layer: memory
# expect: held|ends
# doctor: no
# seconds: 20
import ctypes
import errno

SETS_MAX = 4096
IPC_CREAT, IPC_RMID = 0o1000, 0
REFUSALS = (errno.EPERM, errno.ENOSYS, errno.ENOSPC, errno.ENOMEM, errno.EINVAL)


def attack():
    libc = ctypes.CDLL(None, use_errno=True)
    sets, refusal = [], None
    try:
        while len(sets) < SETS_MAX:
            # One set of 32,000 semaphores takes 2 MiB of the kernel's memory.
            semaphores = libc.semget(0, 32_000, IPC_CREAT | 0o600)
            if semaphores == -1:
                refusal = ctypes.get_errno()
                break
            sets.append(semaphores)
    finally:
        for semaphores in sets:
            libc.semctl(semaphores, 0, IPC_RMID)
    if refusal is None:
        return f"escaped: {SETS_MAX} sets of 2 MiB"
    if refusal not in REFUSALS:
        return f"escaped: no refusal but {errno.errorcode[refusal]}"
    return f"held: {errno.errorcode[refusal]} after {len(sets)} sets"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
