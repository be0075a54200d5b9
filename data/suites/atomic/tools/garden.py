"""A garden centre: orders, watering plans and advice."""

import datetime

_SOILS = ("sand", "loam", "clay")


def _code(prefix, *parts):
    total = 7
    for character in "|".join(str(part) for part in parts):
        total = (total * 31 + ord(character)) % 9973
    return f"{prefix}-{total:04d}"


def _day(text):
    try:
        return datetime.date.fromisoformat(text).isoformat()
    except ValueError:
        raise ValueError(f"{text!r} is no day; write it as YYYY-MM-DD") from None


def _one_of(value, choices, what):
    if value not in choices:
        raise ValueError(f"unknown {what} {value!r}; choose from {', '.join(choices)}")
    return value


def _between(value, low, high, what):
    if not low <= value <= high:
        raise ValueError(f"{what} must lie between {low} and {high}, not {value}")
    return int(value) if value == int(value) else value


def order_plants(plant: str, pieces: int, pot_cm: int, delivery: str) -> str:
    """Order plants in pots of 9, 13 or 19 cm, delivered on a day (YYYY-MM-DD). Returns a code."""
    if pot_cm not in (9, 13, 19):
        raise ValueError(f"pots have 9, 13 or 19 cm, not {pot_cm}")
    return _code("P", plant.strip().lower(), _between(pieces, 1, 500, "pieces"), int(pot_cm), _day(delivery))


def soil_bags(length_m: float, width_m: float, depth_cm: float, litres: int = 40) -> int:
    """Bags of soil, of that many litres each, that fill a bed of length, width and depth; rounded up."""
    need = length_m * width_m * depth_cm * 10
    return int(-(-round(need, 6) // litres))


def plan_watering(bed: str, litres: float, every_days: int, first: str) -> str:
    """Water a bed with litres every so many days, from a day (YYYY-MM-DD) on. Returns a code."""
    return _code("W", bed.strip().lower(), float(litres), _between(every_days, 1, 30, "every_days"), _day(first))


def lime(square_metres: float, soil: str, acidity: float) -> float:
    """Kilograms of lime that lift soil (sand, loam or clay) from that acidity (pH 3 to 7) to pH 7."""
    factor = {"sand": 0.12, "loam": 0.2, "clay": 0.31}[_one_of(soil, _SOILS, "soil")]
    return round(factor * square_metres * (7 - _between(acidity, 3, 7, "acidity")), 2)


def rent_tool(tool: str, hours: int, weekend: bool = False) -> str:
    """Rent a shredder, tiller or mower for some hours. Returns a code."""
    tool = _one_of(tool, ("shredder", "tiller", "mower"), "tool")
    return _code("T", tool, _between(hours, 1, 72, "hours"), bool(weekend))
