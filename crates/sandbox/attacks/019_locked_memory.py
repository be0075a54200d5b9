# case: 19
# title: lock 256 MiB of memory
# layer: syscalls
# expect: held
# doctor: no
# seconds: 5
import ctypes
import errno
import mmap

SIZE = 256 << 20
REFUSALS = (errno.EPERM, errno.ENOMEM, errno.EAGAIN)


def attack():
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mlock.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
    mapping = mmap.mmap(-1, SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    view = ctypes.c_char.from_buffer(mapping)
    try:
        if libc.mlock(ctypes.addressof(view), SIZE) == 0:
            return "escaped: 256 MiB are locked"
        first = ctypes.get_errno()
        # MCL_CURRENT | MCL_FUTURE
        if libc.mlockall(3) == 0:
            libc.munlockall()
            return "escaped: all memory is locked"
        second = ctypes.get_errno()
    finally:
        del view
        mapping.close()
    names = [errno.errorcode[number] for number in (first, second)]
    if first not in REFUSALS or second not in REFUSALS:
        return f"escaped: no refusal but {names}"
    return f"held: {names}"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
