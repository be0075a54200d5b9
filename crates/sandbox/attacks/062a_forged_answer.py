# case: 62
# title: find the nonce of the running cell and answer in the runner's place
# layer: none
# expect: ends|survives
# doctor: no
# seconds: 5
import gc
import os
import stat
import sys
import time


def nonces():
    frame = sys._getframe()
    while frame:
        for value in list(frame.f_locals.values()):
            if isinstance(value, (bytes, bytearray)) and len(value) >= 16:
                yield bytes(value[:16])
        frame = frame.f_back
    for thing in gc.get_objects():
        if type(thing) in (list, tuple, dict):
            for value in list(thing.values() if type(thing) is dict else thing):
                if type(value) is bytes and len(value) == 16:
                    yield value


def answer(nonce, tag):
    text = b"\x10\0\0\0value/text/plain\x08\0\0\0'forged'"
    body = nonce + tag + text
    return len(body).to_bytes(4, "little") + body


found = set(nonces())
for file in range(3, 1024):
    try:
        if stat.S_ISSOCK(os.fstat(file).st_mode):
            for nonce in found:
                for tag in (b"F", b"R", b"S", b"N"):
                    os.write(file, answer(nonce, tag))
    except OSError:
        pass
time.sleep(0.3)
print("still running after the forged answer")
