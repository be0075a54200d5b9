# case: 47
# title: a child kills the interpreter between two cells
# layer: none
# expect: ends|survives
# doctor: no
# seconds: 10
import os
import signal
import time

victim = os.getpid()
if os.fork() == 0:
    time.sleep(0.1)
    os.kill(victim, signal.SIGKILL)
    os._exit(0)
# --- next cell
import time

time.sleep(1)
