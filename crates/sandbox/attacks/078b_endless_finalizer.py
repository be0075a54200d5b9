# case: 78
# title: a finalizer that takes for ever
# layer: none
# expect: ends
# doctor: no
# seconds: 2
class Endless:
    def __del__(self):
        while True:
            pass


endless = Endless()
del endless
print("escaped: the finalizer ended")
