"""A training diary."""

import datetime

_SPORTS = ("run", "swim", "ride", "row")


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


def log_training(sport: str, kilometres: float, minutes: int, day: str, effort: int = 5) -> str:
    """Write down a training: sport is run, swim, ride or row, effort is 1 to 10. Returns a code."""
    sport = _one_of(sport, _SPORTS, "sport")
    return _code("L", sport, round(float(kilometres), 3), int(minutes), _day(day), _between(effort, 1, 10, "effort"))


def set_goal(sport: str, kilometres: float, period: str = "week") -> str:
    """Set a goal for a sport in kilometres for each week, month or year. Returns a code."""
    period = _one_of(period, ("week", "month", "year"), "period")
    return _code("G", _one_of(sport, _SPORTS, "sport"), round(float(kilometres), 3), period)


def book_class(name: str, day: str, time: str, mat: bool = True) -> str:
    """Book a class such as "yoga" on a day (YYYY-MM-DD) at HH:MM, with or without a mat. Returns a code."""
    return _code("C", name.strip().lower(), _day(day), _time(time), bool(mat))


def pace(kilometres: float, minutes: float) -> str:
    """Time for one kilometre as M:SS, rounded to the second."""
    seconds = round(minutes * 60 / kilometres)
    return f"{seconds // 60}:{seconds % 60:02d}"


def burned(sport: str, minutes: int, kilograms: float) -> int:
    """Kilocalories burned by a person of that weight, rounded."""
    factor = {"run": 9.8, "swim": 8.0, "ride": 7.5, "row": 7.0}[_one_of(sport, _SPORTS, "sport")]
    return round(factor * kilograms * minutes / 60)
