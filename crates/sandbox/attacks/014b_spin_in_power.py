# case: 14
# title: one instruction of the interpreter that computes for hours
# layer: none
# expect: ends
# doctor: no
# seconds: 2
number = 10**10**8
print("escaped: the number was computed")
