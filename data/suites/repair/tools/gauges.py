"""Rain gauges of a measuring network."""
from datetime import date, timedelta

_SINCE = {"G7-B": date(2024, 3, 18)}
_UNTIL = {"G7": date(2024, 3, 17)}
_DAMAGED = {
    ("G7", date(2024, 3, 9)): "rain=12,5 mm",
    ("G7", date(2024, 3, 14)): "rain=0,50 in",
    ("G7-B", date(2024, 3, 29)): "rain=3,4 mm",
}


def _day(text):
    try:
        return date.fromisoformat(text)
    except (TypeError, ValueError):
        raise ValueError(f"a day is written as YYYY-MM-DD, not {text!r}") from None


def _check(gauge, day):
    if gauge not in ("G7", "G7-B"):
        raise LookupError(f"there is no gauge {gauge!r}; those near the mill are G7 and, since it was replaced, G7-B")
    if day > _UNTIL.get(gauge, day):
        raise LookupError(f"{gauge} was replaced after {_UNTIL[gauge]}; since then G7-B measures in its place")
    if day < _SINCE.get(gauge, day):
        raise LookupError(f"{gauge} measures since {_SINCE[gauge]}; before, G7 stood in its place")


def rain(gauge: str, first: str, last: str) -> list:
    """Rain of each day in millimetres.

    Args:
        gauge: name of the gauge
        first: the first day, such as 2024-03-01
        last: the last day, which is included
    """
    begin, end = _day(first), _day(last)
    days = (end - begin).days + 1
    if not 1 <= days <= 10:
        raise ValueError(f"1 to 10 days at once, not {days}")
    found = []
    for number in range(days):
        day = begin + timedelta(number)
        _check(gauge, day)
        if (gauge, day) in _DAMAGED:
            raise ValueError(f"the record of {day} is damaged; raw({gauge!r}, '{day}') has what the gauge sent")
        found.append((day.day * (7 if gauge == "G7" else 11) % 9) * 0.5)
    return found


def raw(gauge: str, day: str) -> str:
    """What a gauge sent on a day whose record is damaged.

    Args:
        gauge: name of the gauge
        day: the day, such as 2024-03-01
    """
    when = _day(day)
    _check(gauge, when)
    if (gauge, when) not in _DAMAGED:
        raise ValueError(f"the record of {when} is sound; rain({gauge!r}, '{day}', '{day}') has it")
    return _DAMAGED[gauge, when]
