# case: 76
# title: a profile function that ends the process inside of the runner
# layer: none
# expect: ends|survives
# doctor: no
# seconds: 5
import os
import sys

cell = sys._getframe().f_code


def leave(frame, event, argument):
    if frame.f_code is not cell and frame.f_code is not leave.__code__:
        os._exit(0)


sys.setprofile(leave)
