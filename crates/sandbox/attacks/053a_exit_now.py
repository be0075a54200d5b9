# case: 53
# title: leave without a word
# layer: none
# expect: ends
# doctor: no
# seconds: 5
import os

os._exit(0)
