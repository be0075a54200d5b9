"""What prompts are filled with: days, times and numbers as people say them, names and places of nobody."""

import datetime
import random
from typing import Any, Callable, List, Sequence, Tuple

from .family import Said

Draw = Callable[[random.Random], Any]

FAMILIES = ("Abbott", "Bergman", "Castro", "Dahl", "Eklund", "Fabre", "Greco", "Hansson", "Iyer", "Jansky", "Kimura", "Lopes",
            "Mbeki", "Novak", "Oduya", "Palmer", "Quist", "Rossi", "Suzuki", "Tanner", "Ueda", "Weber", "Yang", "Zeller")
FIRST = ("Ada", "Boris", "Celia", "Dmitri", "Elena", "Fatou", "Gero", "Hana", "Ilya", "Jana", "Kofi", "Luz", "Milan", "Nora",
         "Otis", "Paula", "Rune", "Sina", "Tarek", "Ulla", "Viktor", "Wanda", "Yara", "Zeno")
PEOPLE = tuple(f"{first} {family}" for first, family in zip(FIRST, reversed(FAMILIES)))
CITIES = ("Ghent", "Leeds", "Porto", "Basel", "Turku", "Split", "Bergen", "Malaga", "Trieste", "Krakow", "Cork", "Lille")
STREETS = ("Ash Lane 12", "Quarry Road 3", "Hill Street 27", "Canal Row 9", "Station Square 1", "Birch Way 44", "Park Alley 6")
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_FULL = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_WORDS = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
          "eighteen nineteen").split()
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


def worded(number: int) -> str:
    """A number below 100 in words."""
    if number < 20:
        return _WORDS[number]
    return _TENS[number // 10] + (f"-{_WORDS[number % 10]}" if number % 10 else "")


def ints(low: int, high: int, step: int = 1) -> Draw:
    """A whole number, sometimes in words."""
    def pick(rng: random.Random) -> Any:
        number = rng.randrange(low, high + 1, step)
        return Said(number, worded(number)) if 1 < number < 100 and rng.random() < 0.2 else number
    return pick


def digits(low: int, high: int, step: int = 1) -> Draw:
    """A whole number in digits."""
    return lambda rng: rng.randrange(low, high + 1, step)


def tenths(low: int, high: int) -> Draw:
    """A number with one digit behind the point, given in tenths; never a whole one."""
    return lambda rng: rng.choice([number for number in range(low, high + 1) if number % 10]) / 10


def euros(low: int, high: int) -> Draw:
    """An amount with cents, given in whole euros."""
    return lambda rng: rng.randrange(low, high) + rng.choice((15, 25, 45, 55, 65, 75, 85, 95)) / 100


def cents(low: int, high: int) -> Draw:
    """An amount in cents that is said in euros."""
    def pick(rng: random.Random) -> Said:
        amount = rng.randrange(low, high) * 100 + rng.choice((0, 0, 20, 35, 60, 80))
        return Said(amount, f"{amount // 100} euros" if amount % 100 == 0 else f"{amount / 100:.2f} euros")
    return pick


def one_of(pool: Sequence[Any]) -> Draw:
    """One of `pool`."""
    return lambda rng: rng.choice(list(pool))


def some(pool: Sequence[Any], low: int, high: int) -> Draw:
    """So many of `pool`, in any order."""
    return lambda rng: rng.sample(list(pool), rng.randint(low, high))


def two(pool: Sequence[Any]) -> Draw:
    """Two different ones, for two names."""
    return lambda rng: tuple(rng.sample(list(pool), 2))


def many(draw: Draw, low: int, high: int) -> Draw:
    """So many different values of another pool."""
    def pick(rng: random.Random) -> List[Any]:
        values: List[Any] = []
        count = rng.randint(low, high)
        while len(values) < count:
            value = draw(rng)
            if value not in values:
                values.append(value)
        return values
    return pick


def _said_day(day: datetime.date, rng: random.Random) -> Said:
    shown = [day.isoformat(), f"{day.day} {day:%B} {day.year}", f"{day:%A}, {day.day} {day:%B} {day.year}"]
    return Said(day.isoformat(), rng.choices(shown, [4, 4, 2])[0])


def _some_day(rng: random.Random) -> datetime.date:
    return datetime.date(2025, 1, 8) + datetime.timedelta(days=rng.randrange(640))


def day(rng: random.Random) -> Said:
    """A day, as YYYY-MM-DD or in words."""
    return _said_day(_some_day(rng), rng)


def span(low: int, high: int) -> Draw:
    """First and last day of a time that lasts so many days, both included."""
    def pick(rng: random.Random) -> Tuple[Said, Said]:
        first = _some_day(rng)
        return _said_day(first, rng), _said_day(first + datetime.timedelta(days=rng.randint(low, high) - 1), rng)
    return pick


def clock(low: int = 8, high: int = 21) -> Draw:
    """A time of day from one hour to another, as HH:MM or as people say it."""
    def pick(rng: random.Random) -> Said:
        hour, minute = rng.randint(low, high), rng.choice((0, 0, 15, 30, 30, 45, 10, 20, 40, 50))
        value = f"{hour:02d}:{minute:02d}"
        return Said(value, value if rng.random() < 0.6 else _told(hour, minute))
    return pick


def _told(hour: int, minute: int) -> str:
    def name(which: int) -> str:
        return worded((which - 1) % 12 + 1)
    part = "in the morning" if hour < 12 else "in the afternoon" if hour < 18 else "in the evening"
    words = {0: name(hour), 15: f"a quarter past {name(hour)}", 30: f"half past {name(hour)}",
             45: f"a quarter to {name(hour + 1)}"}
    if minute not in words:
        words[minute] = (f"{worded(minute)} past {name(hour)}" if minute < 30 else f"{worded(60 - minute)} to {name(hour + 1)}")
    if hour == 12 and minute == 0:
        return "noon"
    return f"{words[minute]} {part}"


def weekdays(low: int, high: int, last: int = 7) -> Draw:
    """Some days of the week in their order, said in full."""
    def pick(rng: random.Random) -> Said:
        chosen = sorted(rng.sample(range(last), rng.randint(low, high)))
        names = [_FULL[at] for at in chosen]
        text = names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]
        return Said([WEEKDAYS[at] for at in chosen], text)
    return pick


def plus(name: str, unit: str = "") -> Callable[[Any], str]:
    """Says how the values of a list or dictionary of the plan add up to the answer."""
    def say(known: Any) -> str:
        values = known[name].values() if isinstance(known[name], dict) else known[name]
        return " + ".join(str(value) for value in values) + f" = {known['answer']}{unit}."
    return say
