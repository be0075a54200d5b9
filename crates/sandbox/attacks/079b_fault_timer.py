# case: 79
# title: let the fault handler end the process between two cells
# layer: none
# expect: ends|survives
# doctor: no
# seconds: 5
import faulthandler

faulthandler.dump_traceback_later(0.1, exit=True, file=2)
# --- next cell
import time

time.sleep(0.5)
