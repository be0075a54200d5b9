# case: 15
# title: wait for a lock that nobody frees, with the signal handled
# layer: none
# expect: ends
# doctor: no
# seconds: 2
import signal
import threading

signal.signal(signal.SIGINT, lambda *_: None)
lock = threading.Lock()
lock.acquire()
lock.acquire()
print("escaped: the lock was free")
