# case: 60
# title: garbage on every descriptor
# layer: none
# expect: ends|survives
# doctor: no
# seconds: 3
import os
import random

source = random.Random(60)
for file in range(1024):
    for _ in range(20):
        try:
            os.write(file, source.randbytes(source.randrange(1, 5000)))
        except OSError:
            break
