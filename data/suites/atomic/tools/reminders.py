"""Reminders, timers and alarms of a personal assistant."""

import datetime

_REPEATS = ("never", "daily", "weekly", "monthly")
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


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


def add_reminder(text: str, day: str, time: str = "09:00", repeat: str = "never") -> str:
    """Add a reminder on `day` (YYYY-MM-DD) at HH:MM; repeat is never, daily, weekly or monthly. Returns a code."""
    words = text.strip().rstrip(".!").lower()
    return _code("R", words, _day(day), _time(time), _one_of(repeat, _REPEATS, "repeat"))


def set_alarm(time: str, weekdays: list[str], snooze_minutes: int = 10) -> str:
    """Set an alarm at HH:MM on weekdays such as ["Mon", "Fri"]. Returns a code."""
    days = sorted({_WEEKDAYS.index(_one_of(day, _WEEKDAYS, "weekday")) for day in weekdays})
    return _code("A", _time(time), days, _between(snooze_minutes, 0, 30, "snooze_minutes"))


def start_timer(seconds: int, label: str = "timer") -> str:
    """Start a timer of that many seconds with a label. Returns a code."""
    return _code("S", _between(seconds, 1, 86400, "seconds"), label.strip().lower())


def move_reminder(code: str, days: int) -> str:
    """Move a reminder by a number of days: positive is later, negative is earlier. Returns the new code."""
    if days == 0:
        raise ValueError("days must not be 0")
    return _code("R", code.strip().upper(), int(days))


def delete_reminders(before: str, only_done: bool = True) -> str:
    """Delete reminders from before a day (YYYY-MM-DD), only those that are done or all of them. Returns a receipt."""
    return _code("D", _day(before), bool(only_done))
