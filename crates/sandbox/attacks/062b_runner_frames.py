# case: 62
# title: take the runner apart through the frames below the cell
# layer: none
# expect: ends|survives
# doctor: no
# seconds: 3
import ctypes
import sys

own = globals()
frame = sys._getframe().f_back
while frame:
    names = [name for name in frame.f_globals if frame.f_globals is not own]
    for name in names:
        frame.f_globals[name] = None
    for name in list(frame.f_locals):
        frame.f_locals[name] = None
    if sys.version_info < (3, 13):
        ctypes.pythonapi.PyFrame_LocalsToFast(ctypes.py_object(frame), ctypes.c_int(0))
    frame = frame.f_back
