# case: 91
# title: make 32-bit calls, which a filter for 64 bits misreads
# layer: syscalls
# expect: held
# doctor: yes
# seconds: 5
import ctypes
import mmap
import os
import platform
import signal

# mov eax, 42; ret: shows that code on this page runs at all
HARMLESS = bytes.fromhex("b82a000000c3").ljust(16, b"\x90")
# mov eax, 20 (getpid of 32 bits); int 0x80; ret
CODE = bytes.fromhex("b814000000cd80c3")
# Killed by the filter, or a kernel without 32-bit calls.
DEATHS = {-signal.SIGSYS, -signal.SIGSEGV}


def attack():
    if platform.machine() != "x86_64":
        return "skipped: only x86_64 has 32-bit calls by int 0x80"
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(HARMLESS + CODE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(page))
    harmless, call = (ctypes.CFUNCTYPE(ctypes.c_int)(start + offset) for offset in (0, len(HARMLESS)))
    child = os.fork()
    if child == 0:
        try:
            if harmless() == 42:
                os._exit(0 if call() > 0 else 1)
        finally:
            os._exit(2)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if ended not in DEATHS:
        return f"escaped: a 32-bit call {'succeeded' if ended == 0 else f'ended with {ended}'}"
    return f"held: the process was killed by {signal.Signals(-ended).name}"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
