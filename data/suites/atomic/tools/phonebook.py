"""Who sits where in an office."""

_PEOPLE = {"Adler": (4171, "2.08"), "Bianchi": (4116, "1.14"), "Chen": (4230, "3.02"), "Dubois": (4188, "2.11"),
           "Eriksen": (4302, "0.05"), "Fuentes": (4259, "3.17")}


def _person(name):
    if name not in _PEOPLE:
        raise ValueError(f"no {name!r} in the phone book; use the family name alone")
    return _PEOPLE[name]


def extension(name: str) -> int:
    """Telephone extension of a person, by family name."""
    return _person(name)[0]


def room(name: str) -> str:
    """Room of a person, by family name."""
    return _person(name)[1]
