# case: 52
# title: a timer with the deadly default action goes off after the cell
# layer: none
# expect: ends|survives
# doctor: no
# seconds: 5
import signal
import time

signal.signal(signal.SIGALRM, signal.SIG_DFL)
signal.setitimer(signal.ITIMER_REAL, 0.1)
# --- next cell
import time

time.sleep(0.5)
