"""Cuts formulas into tokens."""
import re

TOKEN = re.compile(r"\s*(?:([0-9]+(?:\.[0-9]+)?)|([A-Za-z][1-9][0-9]?)(?![A-Za-z0-9])|([-+*/()]))")


class Problem(Exception):
    """An error of a formula; its text is the value."""


def tokens(text):
    """Numbers as floats, names of cells in capitals, signs."""
    found, at, text = [], 0, text.rstrip()
    while at < len(text):
        match = TOKEN.match(text, at)
        if not match:
            raise Problem("#SYNTAX")
        digits, name, sign = match.groups()
        found.append(float(digits) if digits else name.upper() if name else sign)
        at = match.end()
    return found
