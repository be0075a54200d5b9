"""Entries of a log."""


def entries(lines):
    """Yield each entry of a log; README.md says what one is."""
    raise NotImplementedError
