"""Tables, orders and gift vouchers of a restaurant."""

import datetime

_AREAS = ("inside", "terrace", "bar")


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


def _time(text):
    try:
        return datetime.datetime.strptime(text, "%H:%M").strftime("%H:%M")
    except ValueError:
        raise ValueError(f"{text!r} is no time; write it as HH:MM on the 24-hour clock") from None


def _one_of(value, choices, what):
    if value not in choices:
        raise ValueError(f"unknown {what} {value!r}; choose from {', '.join(choices)}")
    return value


def _between(value, low, high, what):
    if not low <= value <= high:
        raise ValueError(f"{what} must lie between {low} and {high}, not {value}")
    return int(value) if value == int(value) else value


def reserve_table(name: str, guests: int, day: str, time: str, area: str = "inside", high_chairs: int = 0) -> str:
    """Reserve a table and get a code. `day` is YYYY-MM-DD, `time` HH:MM, `area` inside, terrace or bar."""
    _between(guests, 1, 12, "guests")
    _one_of(area, _AREAS, "area")
    _between(high_chairs, 0, guests, "high_chairs")
    return _code("T", name.strip().lower(), int(guests), _day(day), _time(time), area, int(high_chairs))


def cancel_table(code: str, reason: str = "other") -> str:
    """Cancel a reservation by its code; `reason` is illness, weather, plans or other. Returns a receipt."""
    return _code("X", code.strip().upper(), _one_of(reason, ("illness", "weather", "plans", "other"), "reason"))


def order_takeaway(dishes: list[str], pickup: str, cutlery: bool = False) -> str:
    """Order dishes to take away today at HH:MM. A dish wanted twice stands in the list twice. Returns a code."""
    if not dishes:
        raise ValueError("the list of dishes is empty")
    return _code("W", *sorted(dish.strip().lower() for dish in dishes), _time(pickup), bool(cutlery))


def buy_voucher(cents: int, recipient: str, printed: bool = True) -> str:
    """Buy a gift voucher of that many cents for a person, printed or by mail. Returns its number."""
    return _code("V", _between(cents, 1000, 50000, "cents"), recipient.strip().lower(), bool(printed))


def waiting_minutes(guests: int, area: str = "inside") -> int:
    """Minutes that a party without reservation waits right now."""
    return 5 + _between(guests, 1, 12, "guests") * 4 + 11 * _AREAS.index(_one_of(area, _AREAS, "area"))
