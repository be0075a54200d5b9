# case: 66
# title: a million writes of a byte
# layer: none
# expect: ends|survives
# doctor: no
# seconds: 20
import os

for _ in range(1_000_000):
    os.write(1, b".")
