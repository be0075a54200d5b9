"""Families over the twelve domains of `atomic` that have one or two functions: one call."""

from typing import Tuple

from .family import Family, Said
from .pools import digits, ints, tenths

STOPS = ["Old Bridge", "Town Hall", "Lindenplatz", "Zoo", "East Station"]
HARBOURS = ["Brunn", "Elsund", "Kap", "Moor"]
STAFF = ["Adler", "Bianchi", "Chen", "Dubois", "Eriksen", "Fuentes"]
DISHES = ["lentil soup", "fish pie", "bean stew", "green curry", "pancakes", "beet salad"]
PLANETS = ["Orrin", "Talve", "Quell", "Ister"]
VOUCHERS = ["SUN-77", "FOX-12", "OAK-40", "BEE-05", "ELM-93"]
TREES = ["oak", "beech", "lime", "yew"]
SYSTEMS = [Said("uk", "British"), Said("us", "American"), Said("jp", "Japanese")]


def grams(rng):
    """What a letter weighs, sometimes said in kilograms."""
    number = rng.randrange(15, 2000, 5)
    return Said(number, f"{number / 1000:g} kilograms" if number % 50 == 0 and rng.random() < 0.5 else f"{number} grams")


def girth(rng):
    """What a tree measures around in centimetres, said in metres."""
    number = rng.randrange(105, 590, 5)
    return Said(number, f"{number / 100:g} metres")


SINGLE: Tuple[Family, ...] = (
    Family(
        "lockers",
        "open",
        {"n": ints(1, 400)},
        (
            "Which digits do I type in at locker $n?",
            "I forgot how to get into locker $n. What opens it?",
            "Locker $n, please: the digits that open it.",
            "My coat is behind door $n of the lockers. Give me the code.",
        ),
        "I look up locker $n.",
        "locker_code($n)",
        count=5,
    ),
    Family(
        "tides",
        "high",
        {"h": HARBOURS},
        (
            "What time is the water highest in $h?",
            "Tell me the first high water of $h.",
            "We want to sail from $h when the water is high. At which time?",
        ),
        "I ask for the high tide in $h.",
        "high_tide($h)",
        count=4,
    ),
    Family(
        "tides",
        "low",
        {"h": HARBOURS},
        ("What time is the water lowest in $h?", "Mussels are picked in $h at low water. At which time?", "Tell me the first low water of $h."),
        "I ask for the low tide in $h.",
        "low_tide($h)",
        count=4,
    ),
    Family(
        "phonebook",
        "phone",
        {"p": STAFF},
        ("How do I reach $p by telephone?", "Give me the telephone extension of $p, please.", "I must ring $p. What do I dial?"),
        "I look up the extension of $p.",
        "extension($p)",
        count=5,
    ),
    Family(
        "phonebook",
        "seat",
        {"p": STAFF},
        ("In which room does $p work?", "Someone is looking for $p. Which door is it?", "Room number of $p, please."),
        "I look up the room of $p.",
        "room($p)",
        count=5,
    ),
    Family(
        "menu",
        "cost",
        {"d": DISHES},
        ("What does the $d cost today?", "I would like the $d. How many euros is that?", "Price of the $d in euros, please."),
        "I ask for the price of the $d.",
        "price($d)",
        count=5,
    ),
    Family(
        "menu",
        "energy",
        {"d": DISHES},
        ("How rich is the $d, in calories?", "I count calories. What does the $d have?", "Tell me the calories of one $d."),
        "I ask for the calories of the $d.",
        "calories($d)",
        count=5,
    ),
    Family(
        "paint",
        "walls",
        {"m": ints(6, 90)},
        (
            "How much paint, in litres, covers $m square metres once?",
            "One coat on $m square metres: litres of paint?",
            "My wall measures $m square metres. How many litres do I buy for one coat?",
        ),
        "One coat is the default.",
        "paint_litres($m)",
        count=4,
    ),
    Family(
        "paint",
        "coats",
        {"m": tenths(31, 600), "c": ints(2, 4)},
        (
            "$c coats on $m square metres: litres of paint?",
            "A fence of $m square metres is painted $c times. How many litres are used?",
            "How much paint, in litres, do $c coats on $m square metres take?",
        ),
        "The area and the number of coats are given.",
        "paint_litres($m, $c)",
        count=4,
    ),
    Family(
        "postage",
        "letter",
        {"g": grams},
        (
            "Stamps for a letter of $g within the country: how many euros?",
            "What do I pay for an inland letter that weighs $g?",
            "How much is a letter of $g, in euros?",
        ),
        "The letter stays in the country.",
        "postage($g)",
        count=4,
    ),
    Family(
        "postage",
        "far",
        {"g": grams, "to": ["Canada", "Chile", "Korea", "Kenya", "Norway", "Peru"]},
        (
            "A letter of $g to $to: how many euros?",
            "What do I pay to send $g to a friend in $to?",
            "My letter leaves the country for $to and weighs $g. Postage in euros?",
        ),
        "$to is another country.",
        "postage($g, abroad=True)",
        count=4,
    ),
    Family(
        "tram",
        "wait",
        {"s": STOPS},
        (
            "How long until a tram comes to $s, in minutes?",
            "At $s, when is the tram due? Minutes, please.",
            "Can I still get a coffee at $s? Tell me the minutes to the next tram.",
        ),
        "I ask for the stop $s.",
        "next_tram($s)",
        count=4,
    ),
    Family(
        "tram",
        "routes",
        {"s": STOPS},
        ("What tram lines call at $s? Answer with a list.", "List the lines that I can take from $s.", "Give me all line numbers at $s as a list."),
        "I ask for the lines at $s.",
        "tram_lines($s)",
        count=5,
    ),
    Family(
        "shoes",
        "size",
        {"n": digits(34, 48), "s": SYSTEMS},
        (
            "I wear $n in Europe. What is my $s size?",
            "European $n: what is that as a $s size?",
            "A $s shop asks for my size. At home it is $n.",
            "Turn size $n into the $s one.",
        ),
        "I convert size $n.",
        "shoe_size($n, $s)",
        count=5,
    ),
    Family(
        "trees",
        "years",
        {"k": TREES, "g": ints(60, 520)},
        (
            "How many years has the $k stood here? Its girth is $g cm.",
            "A $k is $g cm around. What is its age in years?",
            "We measured $g centimetres around a $k. How old is the tree?",
        ),
        "I have the kind and the girth.",
        "tree_age($k, $g)",
        count=4,
    ),
    Family(
        "trees",
        "metres",
        {"k": TREES, "g": girth},
        ("The girth of our $k is $g. Tell me its age in years.", "A $k with a girth of $g: how old is it?"),
        "$g must be given in centimetres.",
        "tree_age($k, $g)",
        count=4,
    ),
    Family(
        "vouchers",
        "worth",
        {"v": VOUCHERS},
        ("What is voucher $v good for, in cents?", "I found the voucher $v in a drawer. How many cents does it hold?", "Cents on $v, please."),
        "I look up $v.",
        "voucher_cents($v)",
        count=4,
    ),
    Family(
        "vouchers",
        "last",
        {"v": VOUCHERS},
        ("When does voucher $v end? Give the last day.", "How long can I wait before I spend $v?", "Up to which date does $v work?"),
        "I look up the last day of $v.",
        "valid_until($v)",
        count=4,
    ),
    Family(
        "planets",
        "moon",
        {"p": PLANETS},
        ("Count the moons of $p for me.", "What number of moons goes around $p?", "Does $p have moons? Say how many."),
        "I look up the moons of $p.",
        "moons($p)",
        count=4,
    ),
    Family(
        "planets",
        "year",
        {"p": PLANETS},
        ("A year on the planet $p has how many days?", "After how many days is it New Year again on $p?", "Days in one year of $p?"),
        "I look up the year of $p.",
        "year_days($p)",
        count=4,
    ),
    Family(
        "laundry",
        "price",
        {"k": ints(1, 12), "d": digits(30, 90, 30)},
        (
            "$k kilograms at $d degrees: what does the wash cost?",
            "I put $k kilos into the machine and set $d degrees. Price in euros?",
            "How many euros for washing $k kg at $d degrees?",
        ),
        "Weight and temperature are given.",
        "wash_cost($k, $d)",
        count=4,
    ),
    Family(
        "laundry",
        "dry",
        {"k": ints(1, 12)},
        (
            "$k kilograms are wet. How long does drying take, in minutes?",
            "For how many minutes do $k kilos stay in the dryer?",
            "Minutes of drying for $k kg, please.",
        ),
        "I ask for the dryer.",
        "dryer_minutes($k)",
        count=4,
    ),
)
