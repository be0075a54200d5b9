# case: 60
# title: half a frame, so that the true answer becomes its second half
# layer: none
# expect: ends|survives
# doctor: no
# seconds: 3
import os
import stat

for file in range(3, 1024):
    try:
        if stat.S_ISSOCK(os.fstat(file).st_mode):
            os.write(file, (1000).to_bytes(4, "little") + bytes(16) + b"D")
    except OSError:
        pass
