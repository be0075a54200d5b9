# case: 69
# title: an exception whose text takes for ever
# layer: none
# expect: ends
# doctor: no
# seconds: 2
import time


class Endless(Exception):
    def __str__(self):
        while True:
            time.sleep(1)


raise Endless
