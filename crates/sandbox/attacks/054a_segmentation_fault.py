# case: 54
# title: read the null pointer
# layer: none
# expect: ends
# doctor: yes
# seconds: 5
import ctypes

ctypes.string_at(0)
