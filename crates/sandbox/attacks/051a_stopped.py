# case: 51
# title: stop itself
# layer: none
# expect: ends
# doctor: no
# seconds: 2
import os
import signal

os.kill(os.getpid(), signal.SIGSTOP)
print("escaped: was continued by somebody")
