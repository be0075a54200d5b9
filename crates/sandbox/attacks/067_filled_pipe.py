# case: 67
# title: fill the pipes of the output without waiting for anybody
# layer: none
# expect: ends|survives
# doctor: no
# seconds: 5
import os

os.set_blocking(1, False)
os.set_blocking(2, False)
for file in (1, 2):
    for _ in range(10_000):
        try:
            os.write(file, b"w" * 65_536)
        except BlockingIOError:
            pass
print("x" * 200_000)
