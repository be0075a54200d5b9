# case: 51
# title: stop its whole process group, with all that waits in it
# layer: signals
# expect: ends
# doctor: no
# seconds: 2
import os
import signal

os.killpg(0, signal.SIGSTOP)
print("escaped: was continued by somebody")
