"""Parcels, pickups and complaints of a delivery service."""

import datetime

_SERVICES = ("standard", "express", "green")


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


def send_parcel(sender: str, recipient: str, grams: int, service: str = "standard", insured_euros: int = 0) -> str:
    """Send a parcel from one city to another. `service` is standard, express or green. Returns a tracking code."""
    _between(grams, 1, 30000, "grams")
    _between(insured_euros, 0, 2500, "insured_euros")
    service = _one_of(service, _SERVICES, "service")
    return _code("P", sender.strip().lower(), recipient.strip().lower(), int(grams), service, int(insured_euros))


def order_pickup(street: str, day: str, parcels: int, evening: bool = False) -> str:
    """Have parcels picked up at a street and house number on a day (YYYY-MM-DD). Returns a code."""
    return _code("U", street.strip().lower(), _day(day), _between(parcels, 1, 20, "parcels"), bool(evening))


def parcel_price(length_cm: int, width_cm: int, height_cm: int, grams: int) -> float:
    """Price in euros for a parcel of that size and weight."""
    for value, what in ((length_cm, "length_cm"), (width_cm, "width_cm"), (height_cm, "height_cm")):
        _between(value, 1, 150, what)
    longest = 2.5 if length_cm > 100 else 0.0
    return round(2.9 + length_cm * width_cm * height_cm / 20000 + grams / 1000 * 0.65 + longest, 2)


def redirect(tracking: str, shop: str, keep_days: int = 7) -> str:
    """Send a parcel that is under way to a shop, which keeps it for some days. Returns a code."""
    return _code("N", tracking.strip().upper(), shop.strip().lower(), _between(keep_days, 1, 14, "keep_days"))


def complain(tracking: str, problem: str, refund_euros: float = 0) -> str:
    """Complain about a parcel: `problem` is late, damaged, lost or wrong. Returns the number of the case."""
    problem = _one_of(problem, ("late", "damaged", "lost", "wrong"), "problem")
    return _code("C", tracking.strip().upper(), problem, round(float(refund_euros), 2))
