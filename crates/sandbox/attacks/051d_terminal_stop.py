# case: 51
# title: the stop signal of a terminal to its group
# layer: signals
# expect: ends|survives
# doctor: no
# seconds: 2
import os
import signal

os.killpg(0, signal.SIGTSTP)
