# case: 60
# title: ask for tools that do not exist, a hundred thousand times
# layer: none
# expect: ends|survives
# doctor: no
# seconds: 5
import os
import stat


def pair(key, value):
    return b"".join(len(part).to_bytes(4, "little") + part for part in (key, value))


for file in range(3, 1024):
    try:
        if not stat.S_ISSOCK(os.fstat(file).st_mode):
            continue
        for index in range(100_000):
            payload = pair(b"id", str(index).encode()) + pair(b"name", b"no_such_tool") + pair(b"arguments", b"{}")
            body = bytes(16) + b"T" + payload
            os.write(file, len(body).to_bytes(4, "little") + body)
    except OSError:
        pass
