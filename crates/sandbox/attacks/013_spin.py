# case: 13
# title: compute past the wall limit
# layer: none
# expect: ends
# doctor: no
# seconds: 2
while True:
    pass
