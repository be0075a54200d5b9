# case: 70
# title: a value whose text has 100 MB
# layer: none
# expect: ends|survives
# doctor: no
# seconds: 10
class Giant:
    def __repr__(self):
        return "g" * 100_000_000


Giant()
