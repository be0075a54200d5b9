# case: 54
# title: run an instruction that does not exist
# layer: none
# expect: ends
# doctor: no
# seconds: 5
import ctypes
import mmap
import os
import platform
import signal

CODE = {"x86_64": b"\x0f\x0b", "aarch64": b"\0\0\0\0"}
try:
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(CODE[platform.machine()])
    ctypes.CFUNCTYPE(None)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
finally:
    # Where pages cannot be both written and run.
    os.kill(os.getpid(), signal.SIGILL)
