# case: 61
# title: make every descriptor non-blocking, with timeouts and tiny buffers
# layer: none
# expect: ends|survives
# doctor: no
# seconds: 5
import os
import socket
import stat
import struct

for file in range(1024):
    try:
        os.set_blocking(file, False)
        if stat.S_ISSOCK(os.fstat(file).st_mode):
            with socket.socket(fileno=os.dup(file)) as control:
                control.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("qq", 0, 1000))
                control.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("qq", 0, 1000))
                control.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
                control.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
                os.set_blocking(file, False)
    except OSError:
        pass
print("x" * 1_000_000)
"y" * 1_000_000
