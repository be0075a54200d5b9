"""Meetings, rooms, holidays and expenses of a team."""

import datetime

_TYPES = ("train", "hotel", "meal", "other")


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


def plan_meeting(title: str, people: list[str], day: str, start: str, minutes: int = 30, room: str = "online") -> str:
    """Plan a meeting with people on a day (YYYY-MM-DD) at HH:MM, in a room or online. Returns a code."""
    names = sorted(person.strip().lower() for person in people)
    _between(minutes, 5, 480, "minutes")
    return _code("M", title.strip().lower(), names, _day(day), _time(start), int(minutes), room.strip().lower())


def ask_holiday(person: str, first: str, last: str, half_days: bool = False) -> str:
    """Ask for holidays from the first to the last day, both included, in whole or half days. Returns a code."""
    if _day(first) > _day(last):
        raise ValueError(f"the first day {first} lies after the last day {last}")
    return _code("H", person.strip().lower(), _day(first), _day(last), bool(half_days))


def claim(person: str, kind: str, cents: int, day: str, customer: str = "none") -> str:
    """Claim an expense in cents: kind is train, hotel, meal or other. Returns a code."""
    kind = _one_of(kind, _TYPES, "kind")
    _between(cents, 1, 500000, "cents")
    return _code("E", person.strip().lower(), kind, int(cents), _day(day), customer.strip().lower())


def assign(ticket: int, person: str, priority: str = "normal") -> str:
    """Assign a ticket by its number to a person; priority is low, normal or high. Returns a code."""
    return _code("A", int(ticket), person.strip().lower(), _one_of(priority, ("low", "normal", "high"), "priority"))


def send_message(to: list[str], text: str, urgent: bool = False) -> str:
    """Send a message to people. Returns a receipt."""
    names = sorted(person.strip().lower() for person in to)
    return _code("N", names, text.strip().rstrip(".!").lower(), bool(urgent))
