# case: 51, 46
# title: stop everybody it may, then die, so that only stopped processes remain
# layer: signals
# expect: ends
# doctor: no
# seconds: 5
import os
import signal

try:
    os.kill(-1, signal.SIGSTOP)
finally:
    os._exit(1)
