# case: 71
# title: an image of 1 GB
# layer: none
# expect: ends|survives
# doctor: no
# seconds: 10
class Giant:
    def _repr_png_(self):
        return b"\x89PNG\r\n\x1a\n" + bytes(1 << 30)


Giant()
