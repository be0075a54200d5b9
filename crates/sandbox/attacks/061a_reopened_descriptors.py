# case: 61
# title: open its own descriptors a second time, with other rights
# layer: none
# expect: ends|survives
# doctor: no
# seconds: 5
import os

opened = []
for file in range(1024):
    for flags in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR):
        try:
            opened.append(os.open(f"/proc/self/fd/{file}", flags | os.O_NONBLOCK))
            os.read(opened[-1], 100)
            os.write(opened[-1], b"reopened\n")
        except OSError:
            pass
for file in opened:
    os.close(file)
