"""Planets of an invented star."""

_PLANETS = {"Orrin": (3, 412), "Talve": (0, 88), "Quell": (11, 2045), "Ister": (2, 651)}


def moons(planet: str) -> int:
    """Number of moons of a planet."""
    if planet not in _PLANETS:
        raise ValueError(f"no planet {planet!r}; planets are {', '.join(_PLANETS)}")
    return _PLANETS[planet][0]


def year_days(planet: str) -> int:
    """Length of a planet's year in days."""
    if planet not in _PLANETS:
        raise ValueError(f"no planet {planet!r}; planets are {', '.join(_PLANETS)}")
    return _PLANETS[planet][1]
