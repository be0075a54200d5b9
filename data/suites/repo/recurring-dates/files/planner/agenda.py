"""The printed agenda."""
import calendar
from datetime import timedelta


def days(event, first, last):
    """The days of an event from `first` to `last`, both included."""
    found = []
    start = event["start"]
    until = event.get("until")
    every = event.get("every")
    number = 0
    while True:
        if every == "day":
            day = start + timedelta(days=number)
        elif every == "week":
            day = start + timedelta(weeks=number)
        elif every == "month":
            months = start.year * 12 + start.month - 1 + number
            year, month = divmod(months, 12)
            day = start.replace(year=year, month=month + 1, day=min(start.day, calendar.monthrange(year, month + 1)[1]))
        else:
            day = start
        if day > last or until is not None and day > until:
            return found
        if day >= first:
            found.append(day)
        if every is None:
            return found
        number += 1


def lines(events, first, last):
    """One line for each event and day, by day, then by name."""
    pairs = [(day, event["name"]) for event in events for day in days(event, first, last)]
    return [f"{day.isoformat()} {name}" for day, name in sorted(pairs)]
