"""Cuts the text of a program into tokens."""

KEYWORDS = {"if", "else", "while"}
SIGNS = ("<=", ">=", "==", "!=", "<", ">", "=", "+", "-", "*", "/", "(", ")", "{", "}", ";")
ESCAPES = {"n": "\n", '"': '"', "\\": "\\"}
DIGITS = "0123456789"


class ScanError(ValueError):
    """The text is no program."""

    def __init__(self, what, line):
        super().__init__(f"line {line}: {what}")
        self.line = line


def scan(text):
    """All tokens as (kind, value, line)."""
    tokens, at, line = [], 0, 1
    while at < len(text):
        sign = text[at]
        if sign == "\n":
            line += 1
            at += 1
        elif sign in " \t":
            at += 1
        elif sign == "#":
            while at < len(text) and text[at] != "\n":
                at += 1
        elif sign == '"':
            value, at, end_line = quoted(text, at + 1, line)
            tokens.append(("text", value, line))
            line = end_line
        elif sign in DIGITS:
            value, at = number(text, at)
            tokens.append(("number", value, line))
        elif sign == "_" or sign.isalpha():
            start = at
            while at < len(text) and (text[at] == "_" or text[at].isalnum()):
                at += 1
            name = text[start:at]
            tokens.append(("keyword" if name in KEYWORDS else "name", name, line))
        else:
            found = next((known for known in SIGNS if text.startswith(known, at)), None)
            if found is None:
                raise ScanError(f"{sign!r} is no token", line)
            tokens.append(("sign", found, line))
            at += len(found)
    return tokens


def number(text, at):
    """The number at a place, and where it ends."""
    start = at
    while at < len(text) and text[at] in DIGITS:
        at += 1
    if text[at:at + 1] == "." and text[at + 1:at + 2] and text[at + 1] in DIGITS:
        at += 1
        while at < len(text) and text[at] in DIGITS:
            at += 1
        return float(text[start:at]), at
    return int(text[start:at]), at


def quoted(text, at, line):
    """The text whose opening quote stands before a place, where it ends, and the line on which it does."""
    first, value = line, ""
    while at < len(text):
        sign = text[at]
        if sign == '"':
            return value, at + 1, line
        if sign == "\\":
            after = text[at + 1:at + 2]
            if after and after not in ESCAPES:
                raise ScanError(f"{after!r} cannot be escaped", line)
            value += ESCAPES.get(after, "")
            at += 2
            continue
        line += sign == "\n"
        value += sign
        at += 1
    raise ScanError("a text has no end", first)
