# case: 60
# title: answers whose fields lie about their lengths
# layer: none
# expect: ends|survives
# doctor: no
# seconds: 5
import os
import stat

PAYLOADS = [b"\xff", b"\xff\xff\xff\xff", b"\x10\0\0\0abc", b"\x01\0\0\0a", b"\x01\0\0\0a\xff\xff\xff\x7f",
            b"\0\0\0\0" * 1000, b"\x02\0\0\0\xff\xfe\x01\0\0\0\xff", b"\x01\0\0\0a\xf0\xff\xff\xff" + b"b" * 100]
for file in range(3, 1024):
    try:
        if not stat.S_ISSOCK(os.fstat(file).st_mode):
            continue
        for payload in PAYLOADS:
            for tag in b"FRDTSNH":
                body = bytes(16) + bytes([tag]) + payload
                os.write(file, len(body).to_bytes(4, "little") + body)
    except OSError:
        pass
