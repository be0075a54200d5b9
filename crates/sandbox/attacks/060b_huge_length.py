# case: 60
# title: a frame of 4 GiB on every descriptor
# layer: none
# expect: ends|survives
# doctor: yes
# seconds: 3
import os

for file in range(1024):
    try:
        os.write(file, b"\xff\xff\xff\xff" + bytes(16) + b"F")
    except OSError:
        pass
