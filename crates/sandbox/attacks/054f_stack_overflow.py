# case: 54, 18
# title: overflow the native stack on another thread
# layer: none
# expect: ends|survives
# doctor: no
# seconds: 10
import sys
import threading

sys.setrecursionlimit(10**9)
threading.stack_size(1 << 20)


class Falling:
    def __getattr__(self, name):
        return getattr(self, name)


thread = threading.Thread(target=lambda: Falling().deeper)
thread.start()
thread.join()
