# case: 61
# title: close every descriptor
# layer: none
# expect: ends|survives
# doctor: yes
# seconds: 3
import os

os.closerange(0, 65_536)
