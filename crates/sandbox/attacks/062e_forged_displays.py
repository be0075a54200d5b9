# case: 62, 71
# title: ten thousand displays with the true nonce
# layer: none
# expect: ends|survives
# doctor: no
# seconds: 5
import os
import stat
import sys

found = set()
frame = sys._getframe()
while frame:
    found |= {bytes(value[:16]) for value in list(frame.f_locals.values()) if type(value) is bytes and len(value) >= 16}
    frame = frame.f_back
image = b"\x09\0\0\0image/png\x05\0\0\0\x89PNG\n\x09\0\0\0text/html\x08\0\0\0<script>"
for file in range(3, 1024):
    try:
        if stat.S_ISSOCK(os.fstat(file).st_mode):
            for _ in range(10_000):
                for nonce in found:
                    body = nonce + b"D" + image
                    os.write(file, len(body).to_bytes(4, "little") + body)
    except OSError:
        pass
