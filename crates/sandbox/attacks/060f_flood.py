# case: 60, 67
# title: frames of 15 MiB until the deadline
# layer: none
# expect: ends|survives
# doctor: no
# seconds: 3
import os
import stat

body = bytes(16) + b"D" + bytes(15 << 20)
frame = len(body).to_bytes(4, "little") + body
sockets = []
for file in range(3, 1024):
    try:
        if stat.S_ISSOCK(os.fstat(file).st_mode):
            sockets.append(file)
    except OSError:
        pass
while sockets:
    rest = memoryview(frame)
    while rest:
        rest = rest[os.write(sockets[0], rest):]
