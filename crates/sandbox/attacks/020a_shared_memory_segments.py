# case: 20, 6
# title: hoard 8 GiB in System V segments, which outlive the process
# layer: memory
# expect: held|ends
# doctor: no
# seconds: 20
import ctypes
import errno

SIZE = 64 << 20
SEGMENTS_MAX = 128
IPC_CREAT, IPC_RMID = 0o1000, 0
REFUSALS = (errno.EPERM, errno.ENOSYS, errno.ENOSPC, errno.ENOMEM, errno.EINVAL)


def attack():
    libc = ctypes.CDLL(None, use_errno=True)
    libc.shmget.argtypes = (ctypes.c_int, ctypes.c_size_t, ctypes.c_int)
    libc.shmat.restype = ctypes.c_void_p
    libc.shmat.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
    libc.shmdt.argtypes = (ctypes.c_void_p,)
    segments, refusal = [], None
    try:
        while len(segments) < SEGMENTS_MAX:
            segment = libc.shmget(0, SIZE, IPC_CREAT | 0o600)
            if segment == -1:
                refusal = ctypes.get_errno()
                break
            segments.append(segment)
            address = libc.shmat(segment, None, 0)
            if address == ctypes.c_void_p(-1).value:
                refusal = ctypes.get_errno()
                break
            ctypes.memset(address, 1, SIZE)
            libc.shmdt(address)
    finally:
        for segment in segments:
            libc.shmctl(segment, IPC_RMID, None)
    if refusal is None:
        return "escaped: 8 GiB in segments"
    if refusal not in REFUSALS:
        return f"escaped: no refusal but {errno.errorcode[refusal]}"
    return f"held: {errno.errorcode[refusal]} after {len(segments)} segments of 64 MiB"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
