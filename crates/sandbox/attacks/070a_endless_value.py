# case: 70
# title: a value whose text takes for ever
# layer: none
# expect: ends
# doctor: no
# seconds: 2
class Endless:
    def __repr__(self):
        while True:
            pass


Endless()
