# case: 47
# title: kill the interpreter
# layer: none
# expect: ends
# doctor: no
# seconds: 5
import os
import signal

os.kill(os.getpid(), signal.SIGKILL)
print("escaped: still alive")
