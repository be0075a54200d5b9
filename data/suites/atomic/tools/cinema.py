"""Shows, tickets and clubs of a cinema."""

import datetime

_SNACKS = ("popcorn", "nachos", "cola", "water", "ice cream")


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


def buy_tickets(film: str, day: str, time: str, adults: int, children: int = 0, row: str = "any") -> str:
    """Buy tickets for a show on `day` (YYYY-MM-DD) at HH:MM; `row` is a letter A to M or any. Returns a code."""
    if adults + children < 1 or min(adults, children) < 0:
        raise ValueError("at least one ticket is needed")
    row = "any" if row == "any" else _one_of(row.strip().upper(), tuple("ABCDEFGHIJKLM"), "row")
    return _code("K", film.strip().lower(), _day(day), _time(time), int(adults), int(children), row)


def order_snacks(code: str, snacks: list[str]) -> str:
    """Have snacks ready for a ticket code: popcorn, nachos, cola, water, ice cream; repeat what you want twice."""
    return _code("S", code.strip().upper(), *sorted(_one_of(snack, _SNACKS, "snack") for snack in snacks))


def rate_film(film: str, stars: int, comment: str = "") -> str:
    """Give a film 1 to 5 stars and perhaps a comment. Returns a receipt."""
    return _code("R", film.strip().lower(), _between(stars, 1, 5, "stars"), comment.strip().rstrip(".!").lower())


def rent_hall(hall: int, day: str, start: str, hours: float, catering: bool = False) -> str:
    """Rent hall 1, 2 or 3 on a day from a time (HH:MM) for some hours. Returns a code."""
    return _code("H", _between(hall, 1, 3, "hall"), _day(day), _time(start), float(hours), bool(catering))


def ticket_price(adults: int, children: int, weekday: str, three_d: bool = False) -> float:
    """Price in euros; weekday is Mon, Tue, Wed, Thu, Fri, Sat or Sun."""
    cheap = _one_of(weekday, ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"), "weekday") in ("Tue", "Wed")
    price = (7.5 if cheap else 11.0) * adults + (5.0 if cheap else 7.0) * children
    return price + (2.5 if three_d else 0.0) * (adults + children)
