# case: 61
# title: put /dev/null over every descriptor
# layer: none
# expect: ends|survives
# doctor: no
# seconds: 3
import os

null = os.open("/dev/null", os.O_RDWR)
for file in range(1024):
    try:
        os.fstat(file)
    except OSError:
        continue
    os.dup2(null, file)
