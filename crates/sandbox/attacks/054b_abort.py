# case: 54
# title: abort
# layer: none
# expect: ends
# doctor: no
# seconds: 5
import os

os.abort()
