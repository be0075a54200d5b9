# case: 15
# title: sleep past the wall limit
# layer: none
# expect: ends
# doctor: no
# seconds: 2
import time

time.sleep(3600)
print("escaped: slept for an hour")
