# case: 18, 70
# title: a cell whose value is nested 300,000 deep
# layer: none
# expect: ends|survives
# doctor: no
# seconds: 10
import sys

sys.setrecursionlimit(10**9)
nested = []
for _ in range(300_000):
    nested = [nested]
nested
