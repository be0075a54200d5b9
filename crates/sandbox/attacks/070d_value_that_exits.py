# case: 70, 53
# title: a value that ends the process when it is shown
# layer: none
# expect: ends
# doctor: no
# seconds: 5
import os


class Leaving:
    def __repr__(self):
        os._exit(0)


Leaving()
