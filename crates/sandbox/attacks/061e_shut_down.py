# case: 61
# title: shut the control socket down
# layer: none
# expect: ends|survives
# doctor: no
# seconds: 3
import os
import socket
import stat

for file in range(3, 1024):
    try:
        if stat.S_ISSOCK(os.fstat(file).st_mode):
            with socket.socket(fileno=os.dup(file)) as control:
                control.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
