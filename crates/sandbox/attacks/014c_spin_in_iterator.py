# case: 14
# title: a loop in C that never looks at signals
# layer: none
# expect: ends
# doctor: no
# seconds: 2
import collections
import itertools

collections.deque(itertools.repeat(1), maxlen=0)
print("escaped: the iterator ended")
