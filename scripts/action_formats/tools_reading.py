"""Families over the domains of `tools`: message room and browser."""

import string
from typing import Tuple

from .family import Family
from .pools import digits, plus, some

WORDS = (
    "BRING THE MAP TO ROOM NINE COME ALONE AFTER DARK BOATS LEAVE SOON HIDE KEY UNDER STONE WAIT FOR GREEN LAMP RED FISH DOOR "
    "GUEST CLOCK TEA MILL OLD"
).split()
MORSE = dict(
    zip(
        string.ascii_uppercase,
        (".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- " ".-- -..- -.-- --..").split(),
    )
)
KEYS = ["PEAR", "MINT", "ROSE", "FIG"]
BREAD = ["rye", "spelt", "white", "seeded"]
CAKES = ["plum", "poppy seed", "cheese"]
TABLES = [
    ("town.example/pool", "adult"),
    ("town.example/pool", "child"),
    ("town.example/pool", "ten visits"),
    ("museum.example/tickets", "student"),
    ("museum.example/tickets", "child"),
    ("bakery.example/bread", "rye"),
    ("bakery.example/bread", "seeded"),
    ("bakery.example/cakes", "cheese"),
    ("bus.example/3", "Market"),
    ("bus.example/3", "Hospital"),
    ("bus.example/7", "Harbour"),
    ("bakery.example/bread", "spelt"),
    ("town.example/waste", "Old Town"),
    ("town.example/waste", "Riverside"),
    ("town.example/pool/hours", "Saturday"),
    ("town.example/pool/hours", "Thursday"),
]
LINKS = [
    ("town.example", ["News"]),
    ("town.example", ["Museum", "Collection"]),
    ("bus.example", ["Line 7"]),
    ("museum.example", ["Town", "Waste"]),
    ("bakery.example", ["Cakes", "Bread"]),
    ("town.example", ["Buses", "Line 3"]),
    ("town.example", ["News", "Pool prices", "Opening hours"]),
    ("museum.example/collection", ["Water clock", "Tower clock"]),
]


def moved(text: str, steps: int) -> str:
    """Each letter so many places further."""
    return "".join(chr((ord(each) - 65 + steps) % 26 + 65) if each.isalpha() else each for each in text)


def plain(rng) -> str:
    """Two or three words."""
    return " ".join(rng.sample(WORDS, rng.randint(2, 3)))


def shifted(rng) -> Tuple[str, int]:
    """A text and the steps that undo it."""
    steps = rng.randint(2, 12)
    return moved(plain(rng), steps), steps


def shifted_backwards(rng) -> Tuple[str, int]:
    """The same, written backwards as well."""
    text, steps = shifted(rng)
    return text[::-1], steps


def keyed(rng) -> Tuple[str, str]:
    """A text and the keyword that undoes it."""
    word, text = rng.choice(KEYS), plain(rng)
    letters = [index for index, each in enumerate(text) if each.isalpha()]
    return "".join(moved(each, ord(word[letters.index(at) % len(word)]) - 65) if each.isalpha() else each for at, each in enumerate(text)), word


def in_morse(rng) -> str:
    """One or two words in Morse code."""
    return " / ".join(" ".join(MORSE[each] for each in word) for word in rng.sample(WORDS, rng.randint(1, 2)))


def in_numbers(rng) -> str:
    """Two words as numbers."""
    return " / ".join(" ".join(str(ord(each)) for each in word) for word in rng.sample(WORDS, 2))


DECODING = (
    Family(
        "decoding",
        "shift",
        {"x, n": shifted},
        ('Shift "$x" back by $n.', '"$x" was moved $n places on. What was it?'),
        "I move it back.",
        "shift_back($x, $n)",
        count=3,
    ),
    Family(
        "decoding",
        "morse",
        {"x": in_morse},
        ("Read this Morse code: $x", "Morse: $x - in letters, please."),
        "It is Morse code.",
        "from_morse($x)",
        count=2,
    ),
    Family(
        "decoding",
        "numbers",
        {"x": in_numbers},
        ("Letters as numbers: $x - what is the text?", "Turn $x into words."),
        "Each number is a letter.",
        "from_codes($x)",
        count=2,
    ),
    Family(
        "decoding",
        "keyword",
        {"x, k": keyed},
        ('"$x", keyword $k: the text?', 'Open "$x" with the keyword $k.'),
        "I use the keyword.",
        "with_keyword($x, $k)",
        count=2,
    ),
    Family(
        "decoding",
        "twice",
        {"x, n": shifted_backwards},
        ('"$x" is backwards and moved by $n. The text?', 'Turn "$x" around, then shift it back by $n.'),
        "Two steps.",
        "turned = reverse($x)\nshift_back(turned, $n)",
        "It says",
        {"shift_back": "Turned around it is {turned}."},
        4,
    ),
    Family(
        "decoding",
        "words",
        {"x": in_morse},
        ("How many words of this Morse code are in the dictionary: $x", "Morse $x - count the words that the dictionary has."),
        "I read it, then count.",
        "text = from_morse($x)\nknown_words(text)",
        "The count is",
        {"known_words": "It says {text}."},
        3,
    ),
    Family(
        "decoding",
        "minutes",
        {"m": some(range(1, 13), 2, 4)},
        ("Add up the minutes at which messages $m came.", "Messages $m: sum of their minutes?"),
        "I look at each message.",
        'minutes = [read(number)["minute"] for number in $m]\nsum(minutes)',
        plus("minutes"),
        count=4,
    ),
    Family(
        "decoding",
        "method",
        {"m": some(range(1, 13), 2, 3)},
        ("How were the messages $m hidden? List the methods.", "Methods of $m, as a list?"),
        "I read each.",
        '[read(number)["method"] for number in $m]',
        "These are the methods.",
        count=3,
    ),
)
BROWSER = (
    Family(
        "browser",
        "title",
        {"p": ["town.example/waste", "museum.example/water", "bus.example/3", "bakery.example/cakes", "town.example/pool/hours", "museum.example"]},
        ("Title of the page $p?", "Open $p and tell me its title."),
        "I open the page.",
        'open_page($p)["title"]',
        count=3,
    ),
    Family(
        "browser",
        "links",
        {"p": ["town.example", "museum.example", "bus.example", "bakery.example", "museum.example/collection"]},
        ("List the links of $p.", "Where can one go from $p? Labels as a list."),
        "I open the page.",
        'open_page($p)["links"]',
        count=3,
    ),
    Family(
        "browser",
        "cell",
        {"p, r": lambda rng: rng.choice(TABLES)},
        ('On $p, what stands right behind "$r" in the table?', 'Look into the table of $p: second column for "$r"?'),
        "I open the page and read its table.",
        "open_page($p)\nrows = read_table()\n[row[1] for row in rows if row[0] == $r][0]",
        "The row says",
        count=7,
    ),
    Family(
        "browser",
        "follow",
        {"p, l": lambda rng: rng.choice(LINKS)},
        ("Start at $p and follow $l. Address in the end?", "From $p click $l. Which address is open?"),
        "I follow the links.",
        "open_page($p)\nfor label in $l:\n    click(label)\naddress()",
        "I am at",
        count=6,
    ),
    Family(
        "browser",
        "order",
        {"b": BREAD, "n": digits(2, 5), "c": CAKES, "m": digits(2, 4)},
        (
            "Basket value for $n $b loaves and $m $c cakes (bakery.example)?",
            "From bakery.example: $n of the bread $b, $m of the cake $c. Euros in the basket?",
        ),
        "Each kind has its page.",
        'open_page("bakery.example/bread")\nadd_to_basket($b, $n)\nopen_page("bakery.example/cakes")\nadd_to_basket($c, $m)',
        "The basket is worth",
        {"add_to_basket": "I put it into the basket.", "open_page": "Now the cakes."},
        3,
    ),
    Family(
        "browser",
        "bread",
        {"b": BREAD, "n": digits(2, 9)},
        ("Euros for $n loaves of $b bread at bakery.example? Use the basket.", "Put $n $b loaves of bakery.example into the basket. Its value?"),
        "I open the page with bread.",
        'open_page("bakery.example/bread")\nadd_to_basket($b, $n)',
        "The basket is worth",
        count=3,
    ),
)

FAMILIES: Tuple[Family, ...] = (*DECODING, *BROWSER)
