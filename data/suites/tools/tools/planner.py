"""Calendars, rooms and people of an office, for the week from Monday, 6 to Friday, 10 October 2025."""

import datetime

# person: team, city, earliest and latest hour of work
_PEOPLE = {
    "Amara": ("design", "Oslo", 8, 16),
    "Bruno": ("design", "Lisbon", 10, 18),
    "Chiyo": ("sales", "Oslo", 9, 17),
    "Dario": ("sales", "Oslo", 7, 14),
    "Edda": ("finance", "Lisbon", 9, 15),
    "Farid": ("finance", "Oslo", 8, 17),
}
# day: list of (person, first hour, last hour, title); hours as on a 24-hour clock, all in one time zone
_MEETINGS = {
    "Mon": [("Amara", 9, 10, "Kickoff"), ("Bruno", 11, 13, "Sketches"), ("Chiyo", 9, 10, "Kickoff"),
            ("Dario", 8, 9, "Calls"), ("Edda", 10, 12, "Audit"), ("Farid", 10, 12, "Audit")],
    "Tue": [("Amara", 8, 12, "Workshop"), ("Bruno", 10, 12, "Workshop"), ("Chiyo", 13, 15, "Customer day"),
            ("Dario", 9, 11, "Calls"), ("Farid", 14, 16, "Budget")],
    "Wed": [("Amara", 13, 14, "Review"), ("Bruno", 13, 14, "Review"), ("Chiyo", 10, 11, "Pitch"),
            ("Chiyo", 15, 17, "Training"), ("Edda", 9, 11, "Budget"), ("Farid", 9, 11, "Budget")],
    "Thu": [("Bruno", 10, 18, "Trade fair"), ("Chiyo", 9, 17, "Trade fair"), ("Dario", 7, 9, "Calls"),
            ("Edda", 13, 14, "Taxes")],
    "Fri": [("Amara", 10, 11, "Demo"), ("Dario", 10, 11, "Demo"), ("Edda", 9, 10, "Closing"),
            ("Farid", 9, 13, "Closing")],
}
_ROOMS = {"Birch": 4, "Cedar": 8, "Larch": 2, "Maple": 12}
_ROOM_USE = {("Cedar", "Wed"): [(9, 12)], ("Maple", "Wed"): [(13, 15)], ("Maple", "Tue"): [(8, 12)],
             ("Birch", "Fri"): [(8, 9), (10, 11), (14, 16)], ("Cedar", "Thu"): [(8, 10)],
             ("Cedar", "Mon"): [(13, 17)]}
_DATES = {"Mon": 6, "Tue": 7, "Wed": 8, "Thu": 9, "Fri": 10}


def _person(name):
    if name not in _PEOPLE:
        raise ValueError(f"no person {name!r}; people are {', '.join(_PEOPLE)}")
    return _PEOPLE[name]


def _day(day):
    if day not in _MEETINGS:
        raise ValueError(f"no day {day!r}; days are Mon, Tue, Wed, Thu, Fri")
    return _MEETINGS[day]


def people(team: str = "") -> list[str]:
    """Names of all people, or of those in a team: design, sales or finance."""
    found = [name for name, person in _PEOPLE.items() if team in ("", person[0])]
    if not found:
        raise ValueError(f"no team {team!r}; teams are design, sales, finance")
    return found


def person(name: str) -> dict:
    """Team, city and working hours of a person: from the hour `starts` to the hour `ends`."""
    return dict(zip(("team", "city", "starts", "ends"), _person(name)))


def meetings(name: str, day: str) -> list[list]:
    """Meetings of a person on Mon, Tue, Wed, Thu or Fri: [first hour, last hour, title]; 9 to 11 takes two hours."""
    _person(name)
    return [[first, last, title] for who, first, last, title in sorted(_day(day), key=lambda m: m[1]) if who == name]


def free_hours(name: str, day: str) -> list[int]:
    """Hours at which a person works and has no meeting; 9 stands for the hour from 9 to 10."""
    _, _, starts, ends = _person(name)
    busy = {hour for first, last, _ in meetings(name, day) for hour in range(first, last)}
    return [hour for hour in range(starts, ends) if hour not in busy]


def rooms(seats: int, day: str, hour: int) -> list[str]:
    """Rooms with at least that many seats that are free on a day for the hour that starts at `hour`."""
    _day(day)
    found = []
    for room, size in _ROOMS.items():
        used = any(first <= hour < last for first, last in _ROOM_USE.get((room, day), []))
        if size >= seats and not used:
            found.append(room)
    return found


def add_meeting(title: str, names: list[str], day: str, hour: int) -> str:
    """Add a meeting of one hour for people who must all be free then. Returns its number."""
    for name in names:
        if hour not in free_hours(name, day):
            raise ValueError(f"{name} is not free on {day} at {hour}")
    for name in names:
        _MEETINGS[day].append((name, hour, hour + 1, title))
    return f"{day}{hour:02d}-{len(names)}"


def cancel_meeting(title: str, day: str) -> int:
    """Cancel a meeting of a day for all who take part. Returns how many people that were."""
    taking_part = [meeting for meeting in _day(day) if meeting[3] == title]
    if not taking_part:
        raise ValueError(f"no meeting {title!r} on {day}")
    _MEETINGS[day] = [meeting for meeting in _MEETINGS[day] if meeting[3] != title]
    return len(taking_part)


def date_of(day: str) -> str:
    """Date of a day of this week, as YYYY-MM-DD."""
    _day(day)
    return datetime.date(2025, 10, _DATES[day]).isoformat()
