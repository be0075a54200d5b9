# case: 54
# title: overwrite objects of the interpreter
# layer: none
# expect: ends|survives
# doctor: no
# seconds: 5
import ctypes

for shared in (None, True, (), "", 0, type, dict):
    ctypes.memset(id(shared), 0x41, 16)
