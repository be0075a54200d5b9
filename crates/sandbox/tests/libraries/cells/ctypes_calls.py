import ctypes, ctypes.util
libc = ctypes.CDLL(None)
assert libc.abs(-3) == 3
compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))(lambda a, b: a[0] - b[0])
numbers = (ctypes.c_int * 4)(3, 1, 4, 1)
libc.qsort(numbers, 4, ctypes.sizeof(ctypes.c_int), compare)    # a callback needs memory that can be executed
assert list(numbers) == [1, 1, 3, 4]
# --- next cell
assert list(numbers) == [1, 1, 3, 4] and compare(numbers, numbers) == 0
print("ok")
