"""The next tram at a stop."""

_NEXT = {"Old Bridge": 6, "Town Hall": 11, "Lindenplatz": 3, "Zoo": 14, "East Station": 9}
_LINES = {"Old Bridge": [2, 5], "Town Hall": [1, 2, 8], "Lindenplatz": [8], "Zoo": [5], "East Station": [1, 5, 8]}


def next_tram(stop: str) -> int:
    """Minutes until the next tram leaves a stop."""
    if stop not in _NEXT:
        raise ValueError(f"no stop {stop!r}; stops are {', '.join(_NEXT)}")
    return _NEXT[stop]


def tram_lines(stop: str) -> list[int]:
    """Lines that serve a stop."""
    if stop not in _LINES:
        raise ValueError(f"no stop {stop!r}; stops are {', '.join(_LINES)}")
    return _LINES[stop]
