# case: 60
# title: forged frames of every tag on stdout and stderr
# layer: none
# expect: survives
# doctor: no
# seconds: 5
import os

for file in (1, 2):
    for tag in b"CFRDTSWNHX":
        body = bytes(16) + bytes([tag]) + b"\x05\0\0\0value\x02\0\0\0no"
        os.write(file, len(body).to_bytes(4, "little") + body)
    os.write(file, b"\xff\xff\xff\xff" + b"\0" * 32)
