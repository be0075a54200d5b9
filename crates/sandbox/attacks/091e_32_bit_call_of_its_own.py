# case: 91
# title: make a 32-bit call in the interpreter itself
# layer: syscalls
# expect: held|ends
# doctor: no
# seconds: 5
import ctypes
import mmap
import platform


def attack():
    if platform.machine() != "x86_64":
        return "skipped: only x86_64 has 32-bit calls by int 0x80"
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    # mov eax, 20 (getpid of 32 bits); int 0x80; ret
    page.write(bytes.fromhex("b814000000cd80c3"))
    call = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
    return f"escaped: the call gave {call()}"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
