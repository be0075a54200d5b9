"""The office of a school."""

import datetime

_CLUBS = ("chess", "choir", "robots", "theatre")


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


def report_absence(pupil: str, first: str, last: str, reason: str = "illness") -> str:
    """Report a pupil away from the first to the last day; reason is illness, family or sports. Returns a code."""
    if _day(first) > _day(last):
        raise ValueError(f"the first day {first} lies after the last day {last}")
    reason = _one_of(reason, ("illness", "family", "sports"), "reason")
    return _code("A", pupil.strip().lower(), _day(first), _day(last), reason)


def join_club(pupil: str, club: str, grade: int) -> str:
    """Enrol a pupil of grade 1 to 13 in a club: chess, choir, robots or theatre. Returns a code."""
    return _code("C", pupil.strip().lower(), _one_of(club, _CLUBS, "club"), _between(grade, 1, 13, "grade"))


def order_lunch(pupil: str, weekdays: list[str], vegetarian: bool = False) -> str:
    """Order lunch on weekdays such as ["Mon", "Thu"]. Returns a code."""
    names = ("Mon", "Tue", "Wed", "Thu", "Fri")
    days = sorted({names.index(_one_of(day, names, "weekday")) for day in weekdays})
    return _code("L", pupil.strip().lower(), days, bool(vegetarian))


def mean_grade(grades: list[float], weights: list[float] | None = None) -> float:
    """Mean of grades, weighted if weights are given, rounded to two decimals."""
    weights = weights or [1] * len(grades)
    if len(weights) != len(grades) or not grades:
        raise ValueError(f"{len(grades)} grades need as many weights, not {len(weights)}")
    return round(sum(g * w for g, w in zip(grades, weights)) / sum(weights), 2)


def book_room(room: str, day: str, lesson: int, lessons: int = 1) -> str:
    """Book a room such as "B12" on a day from a lesson (1 to 10) on, for some lessons. Returns a code."""
    _between(lesson, 1, 10, "lesson")
    return _code("R", room.strip().upper(), _day(day), int(lesson), _between(lessons, 1, 4, "lessons"))
