"""Heating, lights and devices of a house."""

import datetime

_ROOMS = ("kitchen", "bathroom", "bedroom", "living room", "study", "hall")
_COLOURS = ("warm", "cold", "red", "green", "blue")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def _code(prefix, *parts):
    total = 7
    for character in "|".join(str(part) for part in parts):
        total = (total * 31 + ord(character)) % 9973
    return f"{prefix}-{total:04d}"


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


def set_heating(room: str, celsius: float, until: str = "22:00") -> str:
    """Heat a room to a temperature in degrees Celsius until HH:MM. Returns a code."""
    degrees = float(_between(celsius, 5, 28, "celsius"))
    return _code("H", _one_of(room, _ROOMS, "room"), degrees, _time(until))


def set_light(room: str, percent: int, colour: str = "warm") -> str:
    """Set a room's light: brightness (0 is off) and colour (warm, cold, red, green or blue). Returns a code."""
    room, colour = _one_of(room, _ROOMS, "room"), _one_of(colour, _COLOURS, "colour")
    return _code("L", room, _between(percent, 0, 100, "percent"), colour)


def plan_vacuum(rooms: list[str], weekdays: list[str], start: str) -> str:
    """Let the vacuum cleaner do rooms, in this order, on weekdays such as ["Mon"] from HH:MM. Returns a code."""
    days = sorted({_DAYS.index(_one_of(day, _DAYS, "weekday")) for day in weekdays})
    return _code("P", [_one_of(room, _ROOMS, "room") for room in rooms], days, _time(start))


def move_blinds(room: str, percent_closed: int) -> str:
    """Move a room's blinds: 0 is fully open, 100 is fully closed. Returns a code."""
    return _code("B", _one_of(room, _ROOMS, "room"), _between(percent_closed, 0, 100, "percent_closed"))


def run_washer(programme: str, degrees: int, delay_minutes: int = 0) -> str:
    """Run the washing machine: programme cotton, wool or quick at 20, 30, 40 or 60 degrees. Returns a code."""
    if degrees not in (20, 30, 40, 60):
        raise ValueError(f"degrees must be 20, 30, 40 or 60, not {degrees}")
    programme = _one_of(programme, ("cotton", "wool", "quick"), "programme")
    return _code("M", programme, int(degrees), _between(delay_minutes, 0, 720, "delay_minutes"))
