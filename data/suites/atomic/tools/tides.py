"""High and low water of four harbours, today."""

_TIDES = {"Brunn": ("04:12", "10:31"), "Elsund": ("05:47", "12:02"), "Kap": ("03:05", "09:18"),
          "Moor": ("06:26", "12:50")}


def _harbour(harbour):
    if harbour not in _TIDES:
        raise ValueError(f"no harbour {harbour!r}; harbours are {', '.join(_TIDES)}")
    return _TIDES[harbour]


def high_tide(harbour: str) -> str:
    """Time of the first high tide today."""
    return _harbour(harbour)[0]


def low_tide(harbour: str) -> str:
    """Time of the first low tide today."""
    return _harbour(harbour)[1]
