# case: 68
# title: bytes that change terminals or are no text
# layer: none
# expect: survives
# doctor: no
# seconds: 5
import os

PIECES = [b"\0", b"\xff\xfe\xc3\x28", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\x1b[2J\x1b[H", b"\x1b]0;title\x07",
          b"\x1b]52;c;eA==\x07", b"\x1b]8;;http://example.invalid\x07link\x1b]8;;\x07", b"\x1b[6n", b"\x1bP+q\x1b\\",
          b"seen\rhidden", b"\x08" * 10, "\u202ereversed\u2066\u2069".encode(), b"\x9b31m", b"\x07" * 100, b"\x0e",
          "\ufeff\u200b".encode(), b"\xe2\x82"]
for piece in PIECES:
    os.write(1, piece + b"\n")
    os.write(2, piece + b"\n")
b"".join(PIECES).decode(errors="replace")
