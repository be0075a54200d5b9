"""Reminders of what comes."""
import calendar
from datetime import timedelta


def due(events, today, ahead):
    """(days from now, name) of all that happens within the `ahead` days after today, the nearest first.

    Of an event that happens several times only the nearest day counts.
    """
    found = []
    for event in events:
        start, every = event["start"], event.get("every")
        number = 0
        while True:
            if every == "day":
                day = start + timedelta(days=number)
            elif every == "week":
                day = start + timedelta(weeks=number)
            elif every == "month":
                months = start.year * 12 + start.month - 1 + number
                year, month = divmod(months, 12)
                length = calendar.monthrange(year, month + 1)[1]
                day = start.replace(year=year, month=month + 1, day=min(start.day, length))
            else:
                day = start
            if day > today + timedelta(days=ahead):
                break
            if "until" in event and day >= event["until"]:
                break
            if day > today:
                found.append(((day - today).days, event["name"]))
                break
            if every is None:
                break
            number += 1
    return sorted(found)
