"""Appointments and prescriptions of a small clinic."""

import datetime

_DOCTORS = ("Aydin", "Berg", "Costa")
_KINDS = ("checkup", "vaccination", "blood test", "follow-up")


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


def book_visit(patient: str, doctor: str, day: str, time: str, kind: str = "checkup") -> str:
    """Book a visit with Aydin, Berg or Costa; kind is checkup, vaccination, blood test or follow-up. Returns a code."""
    doctor, kind = _one_of(doctor, _DOCTORS, "doctor"), _one_of(kind, _KINDS, "kind")
    return _code("B", patient.strip().lower(), doctor, _day(day), _time(time), kind)


def move_visit(code: str, day: str, time: str) -> str:
    """Move a visit to another day (YYYY-MM-DD) and time (HH:MM). Returns the new code."""
    return _code("B", code.strip().upper(), _day(day), _time(time))


def refill(patient: str, medicine: str, milligrams: int, days: int = 30) -> str:
    """Ask for more of a medicine in a strength for a number of days. Returns a code."""
    _between(milligrams, 1, 2000, "milligrams")
    _between(days, 1, 180, "days")
    return _code("F", patient.strip().lower(), medicine.strip().lower(), int(milligrams), int(days))


def sick_note(patient: str, first: str, last: str) -> str:
    """Write a sick note from the first to the last day, both included. Returns its number."""
    if _day(first) > _day(last):
        raise ValueError(f"the first day {first} lies after the last day {last}")
    return _code("N", patient.strip().lower(), _day(first), _day(last))


def dose(medicine: str, kilograms: float, times_a_day: int) -> float:
    """Milligrams of one dose of ibuprofen, paracetamol or amoxicillin for a body weight, rounded to one decimal."""
    daily = {"ibuprofen": 20, "paracetamol": 60, "amoxicillin": 50}
    times = _between(times_a_day, 1, 6, "times_a_day")
    return round(daily[_one_of(medicine, tuple(daily), "medicine")] * kilograms / times, 1)
