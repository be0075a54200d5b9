"""Families over the domains of `tools`: library and bank."""

from typing import Tuple

from .family import Family, Said
from .pools import digits, plus, some, two

BOOKS = [
    "FIC-ADE",
    "FIC-BRA",
    "FIC-CAR",
    "FIC-CAS",
    "FIC-IBR",
    "HIS-BRA",
    "HIS-DUN",
    "HIS-OKE",
    "HIS-YIL",
    "SCI-DUN",
    "SCI-FER",
    "SCI-YIL",
    "ART-CAS",
    "ART-SOL",
]
AUTHORS = ["Brandt", "Castell", "Duncan", "Yildiz", "Adeyemi", "Okereke", "Nakata", "Solberg"]
MEMBERS = ["M17", "M22", "M31", "M40", "M58"]
ACCOUNTS = ["A-100", "A-101", "A-200", "A-201", "A-300", "A-400", "A-500"]
OWNERS = ["Nadia Kowal", "Felix Ong", "Rosa Delgado", "Choir Elmsford", "Ivo Marin"]
PARTNERS = ["Grocer Blum", "Hartmann Flats", "Tune Stream", "Choir Elmsford", "Rail Pass", "Hall Rental"]


def march(rng):
    """A day of the month for which the bank has bookings."""
    number = rng.randint(1, 31)
    return Said(f"2025-03-{number:02d}", rng.choice((f"2025-03-{number:02d}", f"{number} March 2025")))


def spring(rng):
    """A day on which members of the library may owe something."""
    month = rng.choice((4, 5, 6))
    return f"2025-{month:02d}-{rng.randint(2, 29):02d}"


LIBRARY = (
    Family(
        "library",
        "author",
        {"a": AUTHORS},
        ("List the call numbers of $a.", "What do we have by $a? Call numbers as a list."),
        "I search by author.",
        "search(author=$a)",
        count=3,
    ),
    Family(
        "library",
        "free",
        {"b": BOOKS},
        ("How many copies of $b can be lent now?", "$b: copies free?"),
        "I ask for free copies.",
        "copies_free($b)",
        count=3,
    ),
    Family("library", "title", {"b": BOOKS}, ("Title of $b?", "What is the book $b called?"), "The book has a title.", 'book($b)["title"]', count=3),
    Family(
        "library",
        "owes",
        {"m": MEMBERS, "d": spring},
        ("Fine of $m on $d, in cents?", "What must $m pay on $d, in cents?"),
        "I ask for the fine.",
        "fine($m, $d)",
        count=2,
    ),
    Family(
        "library",
        "pages",
        {"b": some(BOOKS, 2, 4)},
        ("Pages of $b together?", "I read $b. How many pages is that?"),
        "I add up the pages.",
        'pages = [book(number)["pages"] for number in $b]\nsum(pages)',
        plus("pages"),
        count=4,
    ),
    Family(
        "library",
        "older",
        {"b": some(BOOKS, 3, 3)},
        ("Which of $b is the oldest? Its call number.", "Going by year, which comes first: $b?"),
        "I compare the years.",
        'years = {number: book(number)["year"] for number in $b}\nmin(years, key=years.get)',
        "The years are {years}; the first is",
        count=4,
    ),
    Family(
        "library",
        "fines",
        {"m": some(MEMBERS, 2, 3), "d": spring},
        ("$m settle their fines on $d. Cents in all?", "Sum of what $m owe on $d, in cents?"),
        "I add up the fines.",
        "fines = [fine(number, $d) for number in $m]\nsum(fines)",
        plus("fines"),
        count=4,
    ),
    Family(
        "library",
        "lend",
        {"b": ["FIC-ADE", "FIC-IBR", "ART-SOL", "FIC-CAS", "HIS-DUN"], "m": ["M31", "M58", "M40"], "d": spring},
        ("Lend $b to $m on $d. Give a list: due date, copies left.", "$m takes $b home on $d. When is it due, and how many copies stay? A list."),
        "I lend it and count.",
        "due = lend($b, $m, $d)\nleft = copies_free($b)\n[due, left]",
        "Both are known.",
        count=4,
    ),
    Family(
        "library",
        "loans",
        {"m": some(MEMBERS, 2, 3)},
        ("How many books do $m hold together?", "Books lent to $m, in all?"),
        "I count the loans of each.",
        'counts = [len(member(number)["loans"]) for number in $m]\nsum(counts)',
        plus("counts"),
        count=3,
    ),
)
BANK = (
    Family(
        "bank",
        "balance",
        {"a": ACCOUNTS, "d": march},
        ("Cents on $a at the end of $d?", "What did $a hold on $d, in cents?"),
        "I ask for that day.",
        "balance($a, $d)",
        count=4,
    ),
    Family(
        "bank",
        "paid",
        {"a": ACCOUNTS, "p": PARTNERS},
        ("What did $a pay to $p so far, in cents?", "Cents from $a to $p?"),
        "I ask what was spent there.",
        "spent_at($a, $p)",
        count=3,
    ),
    Family(
        "bank",
        "numbers",
        {"o": OWNERS},
        ("List the accounts of $o.", "Which accounts has $o? A list."),
        "I look for the owner.",
        "accounts($o)",
        count=2,
    ),
    Family(
        "bank",
        "gain",
        {"a": ["A-101", "A-201", "A-400"], "c": digits(100000, 900000, 5000), "m": digits(2, 24)},
        ("$c cents on $a for $m months: interest?", "What interest does $a give on $c cents in $m months?"),
        "I compute the interest.",
        "interest($a, $c, $m)",
        count=2,
    ),
    Family(
        "bank",
        "sum",
        {"a": some(ACCOUNTS, 2, 4), "d": march},
        ("$a at the end of $d: cents in all?", "Add up $a as they stood on $d."),
        "I add up the balances.",
        "held = [balance(number, $d) for number in $a]\nsum(held)",
        plus("held"),
        count=4,
    ),
    Family(
        "bank",
        "change",
        {"a": ACCOUNTS, "d": march, "e": march},
        ("How far apart are the balances of $a on $d and on $e, in cents?", "Balance of $a: difference between $d and $e, without sign?"),
        "I compare two days.",
        "one = balance($a, $d)\nother = balance($a, $e)\nabs(one - other)",
        "Between {one} and {other} lie",
        count=4,
    ),
    Family(
        "bank",
        "send",
        {"a, b": two(["A-100", "A-101", "A-200", "A-201", "A-400"]), "c": digits(1000, 40000, 500)},
        ("Send $c cents from $a to $b. What does $b hold then?", "After $c cents went from $a to $b, what is on $b?"),
        "I transfer and look.",
        "transfer($a, $b, $c)\nbalance($b)",
        "It now has",
        count=4,
    ),
    Family(
        "bank",
        "if-enough",
        {"a, b": two(ACCOUNTS), "c": digits(20000, 160000, 5000)},
        (
            'If $a holds more than $c cents, send $c to $b and tell me what stays on $a; otherwise answer "too little".',
            '$a is to pay $c cents to $b if it has more than that: say what is left on it, or else "too little".',
        ),
        "The balance decides.",
        'held = balance($a)\nif held > $c:\n    answer = transfer($a, $b, $c)\nelse:\n    answer = "too little"\nanswer',
        "It held {held} cents.",
        {"transfer": "{held} cents are enough."},
        4,
    ),
    Family(
        "bank",
        "kinds",
        {"a": some(ACCOUNTS, 2, 3)},
        ("Which kinds of account are $a? A list in this order.", "Name the kind of each of $a, as a list."),
        "I look at each.",
        '[account(number)["kind"] for number in $a]',
        "These are the kinds.",
        count=3,
    ),
)

FAMILIES: Tuple[Family, ...] = (*LIBRARY, *BANK)
