"""Taxis, rental bicycles, cars and parking in a city."""

import datetime

_CARS = ("small", "estate", "van", "electric")


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


def call_taxi(pickup: str, destination: str, time: str, passengers: int = 1, luggage: bool = False) -> str:
    """Call a taxi for today at HH:MM. Returns a code."""
    _between(passengers, 1, 8, "passengers")
    return _code("T", pickup.strip().lower(), destination.strip().lower(), _time(time), int(passengers), bool(luggage))


def rent_car(kind: str, first: str, days: int, kilometres: int = 100) -> str:
    """Rent a small, estate, van or electric car from a day (YYYY-MM-DD) for some days. Returns a code."""
    return _code("C", _one_of(kind, _CARS, "car"), _day(first), _between(days, 1, 60, "days"), int(kilometres))


def car_price(kind: str, days: int, kilometres: int, second_driver: bool = False) -> float:
    """Price in euros of a rented car with that many kilometres in all."""
    daily = {"small": 31.0, "estate": 44.0, "van": 69.0, "electric": 39.0}[_one_of(kind, _CARS, "car")]
    return round(daily * days + 0.19 * kilometres + (4.5 * days if second_driver else 0), 2)


def unlock_bike(number: int, minutes: int = 30, helmet: bool = False) -> str:
    """Unlock a bicycle by its number for some minutes. Returns the code for its lock."""
    return _code("B", _between(number, 100, 999, "number"), _between(minutes, 5, 600, "minutes"), bool(helmet))


def pay_parking(plate: str, zone: int, minutes: int) -> str:
    """Pay for parking in zone 1, 2 or 3. Blanks and dashes in the plate do not matter. Returns a receipt."""
    plate = plate.replace(" ", "").replace("-", "").upper()
    return _code("Z", plate, _between(zone, 1, 3, "zone"), _between(minutes, 10, 480, "minutes"))
