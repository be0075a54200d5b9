"""Where values come from: small pools of words and samplers over them."""

import datetime
import random
from typing import Any, Callable, List, Sequence

from .family import Plain

Sampler = Callable[[random.Random], Any]

WORDS = """apple river stone window garden yellow planet silver pencil bottle summer winter orange forest castle market
dragon basket candle mirror rocket guitar island kitten lemon monkey needle ocean pepper rabbit saddle tiger umbrella
violin walnut zebra anchor bridge copper desert engine flower glacier harbor insect jacket kettle ladder magnet number
onion parrot quartz ribbon shadow tunnel valley wizard banana carrot donkey eagle feather goblet hammer igloo jungle
kingdom lantern meadow noodle oyster pillow rainbow sandal thunder village whistle cactus balloon cookie dolphin
elephant falcon giraffe hazelnut iceberg jasmine koala lizard mountain nectar octopus penguin robot salmon tomato
teacher doctor farmer singer sailor painter letter coffee butter cheese pocket hotel radio piano camera ticket""".split()
ADJECTIVES = "small quick brown lazy happy quiet bright cold green old brave strange gentle clever heavy golden".split()
VERBS = "sees finds follows carries likes paints watches helps builds cleans loses brings hears wants".split()
NAMES = """Anna Ben Clara David Emma Felix Grace Henry Ivy Jack Karin Leo Mia Noah Olga Paul Rosa Sam Tina Victor Wanda
Yusuf Zoe Omar Lena Hugo Nina Carlos Priya Kenji""".split()
ITEMS = "pens books apples cups chairs lamps bags shirts plates candles boxes tickets bricks balls eggs stamps".split()
CITIES = "Paris Rome Oslo Cairo Lima Delhi Tokyo Berlin Madrid Vienna Dublin Athens Lisbon Prague".split()
LETTERS = "aeiorstnlc"
PALINDROMES = "level radar civic rotor kayak madam refer stats tenet noon deed racecar rotator redder".split()
ANAGRAMS = [("listen", "silent"), ("stone", "notes"), ("night", "thing"), ("earth", "heart"), ("below", "elbow"),
            ("study", "dusty"), ("angel", "glean"), ("state", "taste"), ("brush", "shrub"), ("save", "vase"),
            ("inch", "chin"), ("peach", "cheap"), ("cat", "act"), ("lamp", "palm"), ("bored", "robed")]


def integer(low: int, high: int) -> Sampler:
    """A whole number in [low, high]."""
    return lambda rng: rng.randint(low, high)


def integers(count_min: int, count_max: int, low: int, high: int) -> Sampler:
    """A list of whole numbers."""
    return lambda rng: [rng.randint(low, high) for _ in range(rng.randint(count_min, count_max))]


def distinct_integers(count_min: int, count_max: int, low: int, high: int) -> Sampler:
    """A list of whole numbers without repeats, in random order."""
    return lambda rng: rng.sample(range(low, high + 1), rng.randint(count_min, count_max))


def repeating_integers(count_min: int, count_max: int, low: int, high: int) -> Sampler:
    """A list in which at least one number repeats."""

    def draw(rng: random.Random) -> List[int]:
        numbers = [rng.randint(low, high) for _ in range(rng.randint(count_min, count_max) - 1)]
        numbers.insert(rng.randrange(len(numbers) + 1), rng.choice(numbers))
        return numbers

    return draw


def decimal(low: float, high: float, places: int) -> Sampler:
    """A decimal number."""
    return lambda rng: round(rng.uniform(low, high), places)


def decimals(count_min: int, count_max: int, low: float, high: float, places: int = 1) -> Sampler:
    """A list of decimal numbers."""
    return lambda rng: [round(rng.uniform(low, high), places) for _ in range(rng.randint(count_min, count_max))]


def choice(options: Sequence[Any]) -> Sampler:
    """One of `options`."""
    return lambda rng: rng.choice(options)


def plain(options: Sequence[str]) -> Sampler:
    """One of `options`, without quotes in the prompt."""
    return lambda rng: Plain(rng.choice(options))


def word() -> Sampler:
    """One word."""
    return choice(WORDS)


def words(count_min: int, count_max: int) -> Sampler:
    """A list of different words."""
    return lambda rng: rng.sample(WORDS, rng.randint(count_min, count_max))


def phrase(count_min: int, count_max: int) -> Sampler:
    """Different words in a row, as one text."""
    return lambda rng: " ".join(rng.sample(WORDS, rng.randint(count_min, count_max)))


def sentence() -> Sampler:
    """A short sentence such as "the quick dragon sees a golden bottle"."""

    def draw(rng: random.Random) -> str:
        first, second = rng.sample(ADJECTIVES, 2)
        subject, thing = rng.sample(WORDS, 2)
        end = rng.choice(["", " in the " + rng.choice(WORDS), " near the old " + rng.choice(WORDS), " every day"])
        return f"{rng.choice(['the', 'my', 'that'])} {first} {subject} {rng.choice(VERBS)} a {second} {thing}{end}"

    return draw


def text() -> Sampler:
    """A word, a few words or a sentence."""
    kinds = [word(), phrase(2, 4), sentence()]
    return lambda rng: rng.choice(kinds)(rng)


def day(first_year: int, last_year: int) -> Sampler:
    """A date in ISO form."""

    def draw(rng: random.Random) -> Plain:
        start = datetime.date(first_year, 1, 1).toordinal()
        end = datetime.date(last_year, 12, 31).toordinal()
        return Plain(datetime.date.fromordinal(rng.randint(start, end)).isoformat())

    return draw


def clock() -> Sampler:
    """A time of day such as 14:05."""
    return lambda rng: Plain(f"{rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}")


def counts(names: Sequence[str], count_min: int, count_max: int, low: int, high: int) -> Sampler:
    """A dictionary from names to whole numbers."""

    def draw(rng: random.Random) -> dict:
        return {name: rng.randint(low, high) for name in rng.sample(list(names), rng.randint(count_min, count_max))}

    return draw
