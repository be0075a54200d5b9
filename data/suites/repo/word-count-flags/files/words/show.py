"""How results look."""


def lines(pairs):
    """A line for each word."""
    return "".join(f"{count}\t{word}\n" for word, count in pairs)
