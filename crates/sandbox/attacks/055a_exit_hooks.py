# case: 55
# title: hooks that hang when the interpreter ends, then a polite exit
# layer: none
# expect: ends|survives
# doctor: no
# seconds: 5
import atexit
import sys
import threading
import time

atexit.register(time.sleep, 3600)
threading._register_atexit(time.sleep, 3600)
sys.exit(0)
