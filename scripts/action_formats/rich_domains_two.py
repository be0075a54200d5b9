"""The second half of the domains of `atomic` with five functions: one call."""

from typing import Tuple

from .family import Family, Said
from .pools import FIRST, PEOPLE, clock, day, digits, euros, ints, cents, many, one_of, some, span, tenths, weekdays
from .rich_domains import BEDS, CLINIC, COURSES, FILMS, HOME, NOTES, PARCELS, PLACES, PLANTS, PLATES, REMINDERS, RESTAURANT, SPORTS, TITLES, code

FIRMS = ["Lantern Books", "Voss Energy", "Petal & Co", "Harbour Gym", "Delta Print", "Milltown Water"]


def _month(rng):
    month = rng.randint(1, 12)
    name = ("January February March April May June July August September October November December").split()[month - 1]
    return Said(f"2026-{month:02d}", f"{name} 2026")


def card(rng):
    """The last four digits of a card."""
    return f"{rng.randrange(10000):04d}"


BANKING = (
    Family(
        "banking",
        "pay",
        {"f": FIRMS, "e": euros(12, 900)},
        ("$f gets $e euros from me. Receipt?", "Transfer $e euros to $f and tell me the receipt."),
        "Euros are the default.",
        "pay($f, $e)",
    ),
    Family(
        "banking",
        "abroad",
        {"f": FIRMS, "e": euros(12, 900), "c": [Said("USD", "US dollars"), Said("GBP", "British pounds")], "r": ["order 51", "deposit", "May bill"]},
        ('$f is to get $e $c, reference "$r". Receipt?', 'Settle $e $c with $f under "$r". What is the receipt?'),
        "The currency is given, and a reference.",
        "pay($f, $e, $c, $r)",
    ),
    Family(
        "banking",
        "monthly",
        {"f": FIRMS, "e": digits(15, 900, 5), "d": digits(1, 28), "m": _month},
        ("Day $d of each month, $e euros to $f, first in $m. Code?", "From $m on pay $f $e euros monthly on day $d. What is the code?"),
        "The first month is $m.",
        "standing_order($f, $e, $d, $m)",
    ),
    Family(
        "banking",
        "limit",
        {"c": card, "e": digits(100, 4000, 100)},
        ("Card $c may spend $e euros a day at home. Code?", "Set the daily limit of card $c to $e euros. Which code?"),
        "At home is the default.",
        "card_limit($c, $e)",
    ),
    Family(
        "banking",
        "block",
        {"c": card, "r": ["lost", "stolen", "broken"]},
        ("Block card $c, it is $r. Receipt?", "My card $c is $r. Block it; what is the receipt?"),
        "The reason is given.",
        "block_card($c, $r)",
    ),
    Family(
        "banking",
        "loan",
        {"e": digits(2000, 60000, 500), "m": digits(12, 120, 6), "p": tenths(21, 89)},
        ("$e euros over $m months at $p percent: monthly rate?", "What do I pay each month for $e euros, $p percent, $m months?"),
        "Amount, months and percent.",
        "loan_rate($e, $m, $p)",
    ),
)
CINEMA = (
    Family(
        "cinema",
        "tickets",
        {"f": FILMS, "d": day, "t": clock(14, 21), "a": ints(1, 6)},
        ('$a adults for "$f" on $d at $t. Code?', 'Get me $a adult tickets for "$f", $d, $t. What is the code?'),
        "Adults only, in any row.",
        "buy_tickets($f, $d, $t, $a)",
    ),
    Family(
        "cinema",
        "family",
        {"f": FILMS, "d": day, "t": clock(14, 21), "a": ints(2, 4), "c": ints(2, 5), "r": list("ABDEGHJK")},
        (
            '"$f", $d, $t: $a adults and $c children in row $r. Code?',
            'We are $a adults with $c children and like row $r. Tickets for "$f" on $d at $t; which code?',
        ),
        "Adults, children and the row.",
        "buy_tickets($f, $d, $t, $a, $c, $r)",
    ),
    Family(
        "cinema",
        "snacks",
        {"c": code("K"), "s": some(["popcorn", "nachos", "cola", "water", "ice cream"], 1, 3)},
        ("Have $s ready for $c. Code?", "With tickets $c we eat and drink: $s. Tell me the code."),
        "One of each.",
        "order_snacks($c, $s)",
    ),
    Family(
        "cinema",
        "rate",
        {"f": FILMS, "s": ints(2, 5)},
        ('"$f" deserves $s stars. Receipt?', 'My vote for "$f": $s stars. What is the receipt?'),
        "No comment is needed.",
        "rate_film($f, $s)",
    ),
    Family(
        "cinema",
        "hall",
        {"h": digits(1, 3), "d": day, "t": clock(9, 20), "n": ints(2, 6)},
        ("Hall $h is ours on $d from $t for $n hours. Code?", "Rent hall $h for $n hours on $d, starting at $t, no food. Code?"),
        "Without catering.",
        "rent_hall($h, $d, $t, $n)",
    ),
    Family(
        "cinema",
        "price",
        {"a": ints(2, 5), "c": ints(2, 5), "w": [Said("Mon", "Monday"), Said("Tue", "Tuesday"), Said("Fri", "Friday"), Said("Sun", "Sunday")]},
        ("$a adults and $c children on a $w: price in euros?", "What does a $w show cost for $a adults with $c children?"),
        "Not in 3D.",
        "ticket_price($a, $c, $w)",
    ),
)
FITNESS = (
    Family(
        "fitness",
        "log",
        {"s": SPORTS, "k": ints(3, 40), "m": digits(20, 180), "d": day},
        ("Log $s: $k kilometres, $m minutes, $d. Code?", "On $d I did $k kilometres of $s in $m minutes. Code of the entry?"),
        "The usual effort is the default.",
        "log_training($s, $k, $m, $d)",
    ),
    Family(
        "fitness",
        "hard",
        {"s": SPORTS, "k": tenths(21, 300), "m": digits(20, 180), "d": day, "e": digits(6, 10)},
        (
            "Log $s: $k kilometres, $m minutes, $d, effort $e. Code?",
            "$m minutes of $s on $d, $k kilometres, effort $e. Which code does it get in the diary?",
        ),
        "The effort is $e.",
        "log_training($s, $k, $m, $d, $e)",
    ),
    Family(
        "fitness",
        "goal",
        {"s": SPORTS, "k": digits(10, 900, 5), "p": ["week", "year"]},
        ("My goal: $k kilometres of $s each $p. Code?", "Set $k kilometres of $s per $p as my goal. Which code?"),
        "The period is a $p.",
        "set_goal($s, $k, $p)",
    ),
    Family(
        "fitness",
        "course",
        {"c": COURSES, "d": day, "t": clock(7, 20)},
        ("A place in $c on $d at $t, with a mat. Code?", "Sign me up for $c, $d, $t. Tell me the code."),
        "With a mat, as by default.",
        "book_class($c, $d, $t)",
    ),
    Family(
        "fitness",
        "pace",
        {"k": ints(3, 25), "m": digits(15, 160)},
        ("$k kilometres took me $m minutes. Time for one kilometre (M:SS)?", "Pace for $k kilometres in $m minutes?"),
        "Distance and time are given.",
        "pace($k, $m)",
    ),
    Family(
        "fitness",
        "energy",
        {"s": SPORTS, "m": digits(15, 120, 5), "w": digits(50, 95)},
        ("$m minutes of $s at $w kilograms: kilocalories?", "How much energy, in kilocalories, do $m minutes of $s take at $w kg?"),
        "Sport, minutes and weight.",
        "burned($s, $m, $w)",
    ),
)
GARDEN = (
    Family(
        "garden",
        "plants",
        {"n": ints(5, 60), "p": PLANTS, "c": one_of([9, 13, 19]), "d": day},
        ("$n pots of $p, $c cm, for $d. Code?", "Deliver $n $p plants in $c cm pots on $d. What is the code?"),
        "Plant, pieces, pot and day.",
        "order_plants($p, $n, $c, $d)",
    ),
    Family(
        "garden",
        "soil",
        {"l": ints(2, 9), "w": tenths(5, 29), "d": digits(5, 40, 5)},
        ("Bags of soil for a bed of $l m by $w m, $d cm deep?", "I fill $l times $w metres with $d cm of soil. How many usual bags?"),
        "Bags of 40 litres are the default.",
        "soil_bags($l, $w, $d)",
    ),
    Family(
        "garden",
        "water",
        {"b": BEDS, "l": ints(3, 40), "n": ints(2, 9), "d": day},
        ('Water "$b" with $l litres every $n days from $d. Code?', '"$b" gets $l litres each $n days, first on $d. Tell me the code.'),
        "Bed, litres, days and start.",
        "plan_watering($b, $l, $n, $d)",
    ),
    Family(
        "garden",
        "lime",
        {"m": digits(10, 200, 5), "s": ["sand", "loam", "clay"], "a": tenths(41, 66)},
        ("$m square metres of $s have pH $a. Kilograms of lime?", "How much lime, in kilograms, do $m square metres of $s at pH $a take?"),
        "Area, soil and acidity.",
        "lime($m, $s, $a)",
    ),
    Family(
        "garden",
        "tool",
        {"t": ["shredder", "tiller", "mower"], "h": ints(2, 30)},
        ("Rent me a $t for $h hours during the week. Code?", "$h hours with a $t, not on a weekend. Which code?"),
        "Not at the weekend.",
        "rent_tool($t, $h)",
    ),
)
SCHOOL = (
    Family(
        "school",
        "absent",
        {"p": one_of(PEOPLE), "a, b": span(2, 5)},
        ("$p is ill from $a to $b. Tell the school; code?", "Excuse $p, who is ill, from $a up to $b. What code comes back?"),
        "Illness is the default.",
        "report_absence($p, $a, $b)",
    ),
    Family(
        "school",
        "away",
        {"p": one_of(PEOPLE), "a, b": span(2, 5), "r": [Said("family", "for a family matter"), Said("sports", "for a sports camp")]},
        ("$p is away $r from $a to $b. Code?", "From $a to $b $p misses school $r. Report it and give me the code."),
        "The reason counts.",
        "report_absence($p, $a, $b, $r)",
    ),
    Family(
        "school",
        "club",
        {"p": one_of(PEOPLE), "c": ["chess", "choir", "theatre"], "g": ints(3, 12)},
        ("$p (grade $g) joins $c. Code?", "Put $p from grade $g into the $c club. Code?"),
        "Pupil, club and grade.",
        "join_club($p, $c, $g)",
    ),
    Family(
        "school",
        "lunch",
        {"p": one_of(PEOPLE), "w": weekdays(1, 3, 5)},
        ("Lunch for $p on $w. Code?", "$p eats at school on $w. Order it; which code?"),
        "No special diet.",
        "order_lunch($p, $w)",
    ),
    Family(
        "school",
        "mean",
        {"g": many(digits(1, 6), 3, 5)},
        ("Mean of the grades $g, all of the same weight?", "My grades are $g. What is their mean?"),
        "All weigh the same.",
        "mean_grade($g)",
    ),
    Family(
        "school",
        "room",
        {"r": ["A03", "C21", "D07", "E15"], "d": day, "l": digits(1, 9)},
        ("Room $r on $d, lesson $l only. Code?", "Book $r for lesson $l on $d. Tell me the code."),
        "One lesson is the default.",
        "book_room($r, $d, $l)",
    ),
)
MOBILITY = (
    Family(
        "mobility",
        "taxi",
        {"a": PLACES[:4], "b": PLACES[4:], "t": clock(6, 23)},
        ('Taxi from "$a" to "$b" at $t, one person. Code?', 'At $t I go from "$a" to "$b". Call a taxi; code?'),
        "One passenger is the default.",
        "call_taxi($a, $b, $t)",
    ),
    Family(
        "mobility",
        "group",
        {"a": PLACES[:4], "b": PLACES[4:], "t": clock(6, 23), "n": ints(2, 7)},
        ('Taxi from "$a" to "$b" at $t for $n people without bags. Code?', '$n of us ride from "$a" to "$b" at $t. Which code has the taxi?'),
        "There are $n passengers.",
        "call_taxi($a, $b, $t, $n)",
    ),
    Family(
        "mobility",
        "car",
        {"k": ["small", "estate", "van", "electric"], "d": day, "n": ints(3, 20)},
        ("A $k car for $n days from $d. Code?", "Rent me a $k car on $d, for $n days. What is the code?"),
        "The usual kilometres.",
        "rent_car($k, $d, $n)",
    ),
    Family(
        "mobility",
        "cost",
        {"k": ["small", "estate", "van", "electric"], "n": ints(2, 14), "m": digits(100, 1500, 50)},
        ("Price of a $k car, $n days and $m kilometres, one driver?", "$n days and $m kilometres in a $k car: euros?"),
        "Only one driver.",
        "car_price($k, $n, $m)",
    ),
    Family(
        "mobility",
        "bike",
        {"n": digits(100, 999), "m": digits(10, 120, 5)},
        ("Bike $n for $m minutes. Code of the lock?", "I take bike $n and need $m minutes. Which code opens it?"),
        "Without a helmet.",
        "unlock_bike($n, $m)",
    ),
    Family(
        "mobility",
        "park",
        {"p": PLATES, "z": digits(1, 3), "m": digits(20, 300, 10)},
        ("Parking for $p, zone $z, $m minutes. Receipt?", "Pay $m minutes in zone $z for the car $p. What is the receipt?"),
        "Plate, zone and minutes.",
        "pay_parking($p, $z, $m)",
    ),
)
TEAM = (
    Family(
        "team",
        "meet",
        {"t": TITLES, "p": some(FIRST, 2, 3), "d": day, "s": clock(8, 16)},
        ('"$t" with $p, $d at $s, online for half an hour. Code?', 'Meet $p about "$t" on $d at $s, as usual. What is the code?'),
        "Half an hour online is the default.",
        "plan_meeting($t, $p, $d, $s)",
    ),
    Family(
        "team",
        "long",
        {
            "t": TITLES,
            "p": some(FIRST, 2, 3),
            "d": day,
            "s": clock(8, 16),
            "m": one_of([45, 60, 75, 120]),
            "r": ["Cellar", "Loft", "Garden", "Annex"],
        },
        ('"$t" with $p on $d at $s for $m minutes in room $r. Code?', 'Book $r for "$t": $p, $d, $s, $m minutes. Code?'),
        "Length and room are given.",
        "plan_meeting($t, $p, $d, $s, $m, $r)",
    ),
    Family(
        "team",
        "holiday",
        {"p": one_of(FIRST), "a, b": span(3, 14)},
        ("$p takes whole days off from $a to $b. Code?", "Holiday for $p: first day $a, last day $b. Code?"),
        "Whole days.",
        "ask_holiday($p, $a, $b)",
    ),
    Family(
        "team",
        "claim",
        {"p": one_of(FIRST), "k": ["train", "hotel", "meal"], "c": cents(9, 400), "d": day},
        ("$p paid $c for a $k on $d. Claim it; code?", "Claim $c ($k, $d) for $p. Which code?"),
        "The amount must be in cents.",
        "claim($p, $k, $c, $d)",
    ),
    Family(
        "team",
        "assign",
        {"n": digits(100, 9999), "p": one_of(FIRST), "r": ["low", "high"]},
        ("Ticket $n goes to $p, priority $r. Code?", "Give $p ticket $n with $r priority. Code?"),
        "The priority is $r.",
        "assign($n, $p, $r)",
    ),
    Family(
        "team",
        "tell",
        {"p": some(FIRST, 1, 3), "x": NOTES},
        ('Write to $p: "$x". Receipt?', 'Send "$x" to $p and tell me the receipt.'),
        "Not urgent.",
        "send_message($p, $x)",
    ),
)

SINGLE: Tuple[Family, ...] = (*RESTAURANT, *REMINDERS, *HOME, *PARCELS, *CLINIC, *BANKING, *CINEMA, *FITNESS, *GARDEN, *SCHOOL, *MOBILITY, *TEAM)
