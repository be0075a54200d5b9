# case: 65
# title: a line of 10 GB
# layer: none
# expect: ends|survives
# doctor: no
# seconds: 5
import sys

for _ in range(10_000):
    sys.stdout.write("z" * 1_000_000)
print()
