# case: 60
# title: frames of every tag with a nonce of zeros
# layer: none
# expect: ends|survives
# doctor: no
# seconds: 5
import os
import stat


def pair(key, value):
    return b"".join(len(part).to_bytes(4, "little") + part for part in (key, value))


fields = pair(b"value/text/plain", b"'forged'") + pair(b"id", b"1") + pair(b"name", b"tool") + pair(b"arguments", b"{}")
for file in range(3, 1024):
    try:
        if not stat.S_ISSOCK(os.fstat(file).st_mode):
            continue
        for tag in range(256):
            body = bytes(16) + bytes([tag]) + fields
            os.write(file, len(body).to_bytes(4, "little") + body)
    except OSError:
        pass
