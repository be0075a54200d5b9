# case: 64
# title: print until the deadline
# layer: none
# expect: ends
# doctor: no
# seconds: 2
while True:
    print("y" * 1000)
