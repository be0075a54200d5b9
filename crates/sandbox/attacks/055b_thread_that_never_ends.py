# case: 55
# title: a thread that the interpreter would wait for
# layer: none
# expect: ends|survives
# doctor: no
# seconds: 5
import sys
import threading
import time

threading.Thread(target=time.sleep, args=(3600,)).start()
sys.exit(0)
