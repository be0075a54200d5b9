# case: 54
# title: free memory twice, on another thread
# layer: none
# expect: ends|survives
# doctor: no
# seconds: 5
import ctypes
import threading


def free():
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    block = ctypes.c_void_p(libc.malloc(64))
    for _ in range(3):
        libc.free(block)
    libc.free(ctypes.c_void_p(0x4141414141414140))


thread = threading.Thread(target=free)
thread.start()
thread.join()
