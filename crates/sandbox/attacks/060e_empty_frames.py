# case: 60
# title: frames that are shorter than a nonce, a million of them
# layer: none
# expect: ends|survives
# doctor: no
# seconds: 5
import os
import stat

for file in range(3, 1024):
    try:
        if stat.S_ISSOCK(os.fstat(file).st_mode):
            for length in (0, 1, 15, 16):
                os.write(file, length.to_bytes(4, "little") + b"x" * length)
            for _ in range(1000):
                os.write(file, bytes(4000))
    except OSError:
        pass
