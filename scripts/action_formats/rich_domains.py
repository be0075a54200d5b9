"""Families over the twelve domains of `atomic` that have five functions each: one call."""

from .family import Family, Said
from .pools import CITIES, FAMILIES, FIRST, PEOPLE, STREETS, cents, clock, day, digits, euros, ints, one_of, some, span, weekdays


def code(letter: str):
    """A code as other calls of the domain give them."""
    return lambda rng: f"{letter}-{rng.randrange(1000, 9999)}"


def minutes(rng):
    """A time in seconds that is said in minutes."""
    count = rng.randint(2, 55)
    return Said(count * 60, f"{count} minutes")


AREAS = [Said("inside", "inside"), Said("terrace", "on the terrace"), Said("bar", "at the bar")]
WHY = [Said("illness", "we are ill"), Said("weather", "of the storm"), Said("plans", "our plans have changed")]
MEALS = ["tomato soup", "gnocchi", "grilled trout", "rice pudding", "falafel", "caesar salad", "mushroom risotto"]
ROOMS = ["kitchen", "bathroom", "bedroom", "living room", "study", "hall"]
COLOURS = ["cold", "red", "green", "blue"]
FILMS = ["Iron Harbour", "The Last Orchard", "Seven Lanterns", "Northbound", "A Quiet Engine", "Glass Tigers"]
SHOPS = ["Corner Store", "Tea House", "Bike Barn", "Book Nook", "Flower Box"]
MEDICINES = ["Metoprolol", "Levothyroxin", "Atorvastatin", "Omeprazol", "Candesartan"]
SPORTS = [Said("run", "running"), Said("swim", "swimming"), Said("ride", "cycling"), Said("row", "rowing")]
COURSES = ["pilates", "spinning", "boxing", "aqua fit", "zumba", "stretching"]
PLANTS = ["rosemary", "peony", "boxwood", "heather", "sage", "clematis", "thyme"]
BEDS = ["herbs", "tulips", "beans", "berries", "pumpkins"]
PLACES = ["museum", "main station", "stadium", "hospital", "city hall", "zoo", "university"]
PLATES = ["BX-TT 310", "HN-AQ 77", "ZU-K 4502", "FL-MM 918", "OS-PP 63"]
TITLES = ["Roadmap", "Hiring", "Design review", "Kick-off", "Year end", "Security", "Training"]
NOTES = ["Lunch is here", "The meeting moves to four", "Please update the tickets", "The demo went well", "Keys are at the desk"]
ERRANDS = ["Call the plumber", "Buy printer paper", "Send the tax form", "Renew the library card", "Check the tyres"]
LABELS = ["pasta", "rice", "laundry", "nap", "bread", "tea", "stretching"]

RESTAURANT = (
    Family(
        "restaurant",
        "reserve",
        {"n": one_of(FAMILIES), "g": ints(2, 10), "d": day, "t": clock(12, 21)},
        (
            "Table for $g people, name $n, on $d at $t. Which code?",
            "Please book for $n: $g guests on $d, $t. Tell me the code.",
            "$n comes with a party of $g on $d at $t. Reserve and give me the code.",
        ),
        "I reserve for $n.",
        "reserve_table($n, $g, $d, $t)",
    ),
    Family(
        "restaurant",
        "place",
        {"n": one_of(FAMILIES), "g": ints(2, 9), "d": day, "t": clock(12, 21), "a": AREAS[1:]},
        ("Table for $g people $a, name $n, on $d at $t. Which code?", "$n would like to sit $a with $g guests in all, on $d at $t. Code?"),
        "The table is to be $a.",
        "reserve_table($n, $g, $d, $t, $a)",
    ),
    Family(
        "restaurant",
        "cancel",
        {"c": code("T"), "w": WHY},
        ("We cannot come because $w. Cancel $c and tell me the receipt.", "Strike out reservation $c, because $w. Receipt?"),
        "I cancel $c with a reason.",
        "cancel_table($c, $w)",
    ),
    Family(
        "restaurant",
        "takeaway",
        {"m": some(MEALS, 1, 3), "t": clock(11, 21)},
        ("To take away: $m, at $t. We need no cutlery. Code?", "Pack $m for me; I come at $t. Tell me the order's code."),
        "I order what was named.",
        "order_takeaway($m, $t)",
    ),
    Family(
        "restaurant",
        "gift",
        {"c": cents(10, 300), "n": one_of(FIRST)},
        ("Print a voucher over $c for $n. Number, please.", "I give $n a dinner for $c. Buy the printed voucher and tell me its number."),
        "The amount must be in cents.",
        "buy_voucher($c, $n)",
    ),
    Family(
        "restaurant",
        "wait",
        {"g": ints(1, 11), "a": AREAS},
        ("We are $g and did not book. How long is the wait $a, in minutes?", "Minutes of waiting $a for $g people?"),
        "I ask for the wait.",
        "waiting_minutes($g, $a)",
    ),
)
REMINDERS = (
    Family(
        "reminders",
        "once",
        {"x": ERRANDS, "d": day, "t": clock()},
        ('On $d at $t, remind me: "$x". What code does that get?', 'Note "$x" as a reminder for $d, $t. Code?'),
        "One reminder with a time.",
        "add_reminder($x, $d, $t)",
    ),
    Family(
        "reminders",
        "repeated",
        {"x": ERRANDS, "d": day, "t": clock(), "r": [Said("daily", "every day"), Said("weekly", "every week")]},
        ('Remind me $r of "$x" at $t, beginning on $d. Which code?', '"$x" should come up $r at $t, first on $d. Tell me the code.'),
        "It repeats $r.",
        "add_reminder($x, $d, $t, $r)",
    ),
    Family(
        "reminders",
        "alarm",
        {"t": clock(5, 9), "w": weekdays(1, 3)},
        ("Alarm at $t on $w. Its code?", "I get up at $t on $w. Set an alarm and give me the code."),
        "The days are $w.",
        "set_alarm($t, $w)",
    ),
    Family(
        "reminders",
        "timer",
        {"m": minutes, "l": LABELS},
        ('Timer for $m, label "$l". Code?', 'Count $m down for me, as "$l". What is the code?'),
        "A timer counts seconds.",
        "start_timer($m, $l)",
    ),
    Family(
        "reminders",
        "later",
        {"c": code("R"), "n": ints(2, 14)},
        ("Put reminder $c off by $n days. New code?", "$c can wait $n days longer. What code has it then?"),
        "Later is a positive number.",
        "move_reminder($c, $n)",
    ),
    Family(
        "reminders",
        "clear",
        {"d": day},
        ("Clear away all reminders that are done and older than $d. Receipt?", "Remove finished reminders from before $d and tell me the receipt."),
        "Only those that are done go.",
        "delete_reminders($d)",
    ),
)
HOME = (
    Family(
        "home",
        "heat",
        {"r": ROOMS, "c": ints(16, 25), "t": clock(15, 21)},
        ("The $r shall have $c degrees, up to $t. Code?", "I want $c degrees in the $r until $t. Which code do you get?"),
        "Room, degrees and end are given.",
        "set_heating($r, $c, $t)",
    ),
    Family(
        "home",
        "light",
        {"r": ROOMS, "p": digits(5, 95, 5), "c": COLOURS},
        ("Make the light in the $r $c, at $p percent. Code?", "$p percent of $c light for the $r. Tell me the code."),
        "The colour is $c.",
        "set_light($r, $p, $c)",
    ),
    Family(
        "home",
        "warm",
        {"r": ROOMS, "p": digits(5, 95, 5)},
        ("Set the lamp of the $r to $p percent, warm as always. Code?", "Dim the $r to $p percent and tell me the code."),
        "Warm is the default colour.",
        "set_light($r, $p)",
    ),
    Family(
        "home",
        "vacuum",
        {"r": some(ROOMS, 1, 3), "w": weekdays(1, 3), "t": clock(8, 19)},
        (
            "Vacuum $r (in this order) on $w from $t. Code of the plan?",
            "On $w at $t the robot should clean $r, one after the other. What code has that?",
        ),
        "Rooms, days and the start.",
        "plan_vacuum($r, $w, $t)",
    ),
    Family(
        "home",
        "blinds",
        {"r": ROOMS, "p": digits(5, 95, 5)},
        ("Close the blinds in the $r to $p percent. Code?", "$r: blinds $p percent closed, please. What is the code?"),
        "The number says how far they are closed.",
        "move_blinds($r, $p)",
    ),
    Family(
        "home",
        "washer",
        {"p": ["cotton", "wool", "quick"], "d": one_of([20, 30, 40, 60])},
        ("Start the $p programme at $d degrees. Code?", "Run the washer now: $p, $d degrees. Tell me the code."),
        "It starts at once.",
        "run_washer($p, $d)",
    ),
)
PARCELS = (
    Family(
        "parcels",
        "send",
        {"a": CITIES[:6], "b": CITIES[6:], "g": digits(100, 9000, 50)},
        ("From $a to $b: $g grams, the usual service. Tracking code?", "A parcel of $g grams leaves $a for $b. What is its tracking code?"),
        "Standard service without insurance.",
        "send_parcel($a, $b, $g)",
    ),
    Family(
        "parcels",
        "service",
        {"a": CITIES[:6], "b": CITIES[6:], "g": digits(100, 9000, 50), "s": ["express", "green"], "i": digits(50, 800, 50)},
        (
            "By $s from $a to $b: $g grams, insured for $i euros. Tracking code?",
            "Insure $g grams from $a to $b for $i euros and send them by $s. Code?",
        ),
        "The service is $s, with insurance.",
        "send_parcel($a, $b, $g, $s, $i)",
    ),
    Family(
        "parcels",
        "pickup",
        {"s": STREETS, "d": day, "n": ints(2, 9)},
        ("Collect $n parcels at $s on $d. Code?", "$n parcels wait at $s. Have them picked up on $d; what is the code?"),
        "In the daytime, which is the default.",
        "order_pickup($s, $d, $n)",
    ),
    Family(
        "parcels",
        "price",
        {"l": digits(20, 95, 5), "w": digits(10, 60, 5), "h": digits(5, 50, 5), "g": digits(500, 9000, 250)},
        ("A box measures $l x $w x $h cm and weighs $g grams. Price in euros?", "How many euros for $g grams in a box of $l by $w by $h cm?"),
        "Length, width, height and weight are given.",
        "parcel_price($l, $w, $h, $g)",
    ),
    Family(
        "parcels",
        "shop",
        {"c": code("P"), "s": SHOPS},
        ("Bring $c to the shop $s instead. Code?", "Parcel $c is to go to $s for the usual time. Tell me the code."),
        "The usual time is the default.",
        "redirect($c, $s)",
    ),
    Family(
        "parcels",
        "case",
        {
            "c": code("P"),
            "p": [Said("late", "came too late"), Said("lost", "never came"), Said("wrong", "holds something else than I ordered")],
            "e": euros(8, 90),
        },
        ("$c $p. I ask for $e euros. Number of the case?", "Complain for me: $c $p, and I want $e euros. What is the case number?"),
        "The parcel $p.",
        "complain($c, $p, $e)",
    ),
)
CLINIC = (
    Family(
        "clinic",
        "visit",
        {"p": one_of(PEOPLE), "d": ["Aydin", "Berg", "Costa"], "y": day, "t": clock(8, 16)},
        ("Checkup for $p with $d on $y at $t. Code?", "$p sees doctor $d on $y, $t, for the yearly checkup. What code do you get?"),
        "A checkup is the default.",
        "book_visit($p, $d, $y, $t)",
    ),
    Family(
        "clinic",
        "kind",
        {"p": one_of(PEOPLE), "d": ["Aydin", "Berg", "Costa"], "y": day, "t": clock(8, 16), "k": ["vaccination", "blood test", "follow-up"]},
        ("Enter a $k for $p with $d on $y at $t. Code?", "$p needs a $k; $d has time on $y at $t. Which code is it?"),
        "The kind of visit is $k.",
        "book_visit($p, $d, $y, $t, $k)",
    ),
    Family(
        "clinic",
        "move",
        {"c": code("B"), "y": day, "t": clock(8, 16)},
        ("Change visit $c to $y at $t. New code?", "$c has to take place on $y, $t. Give me the new code."),
        "I move the visit.",
        "move_visit($c, $y, $t)",
    ),
    Family(
        "clinic",
        "refill",
        {"n": one_of(FAMILIES), "m": MEDICINES, "s": one_of([10, 20, 25, 50, 75, 100]), "d": one_of([14, 60, 100, 120])},
        ("$n needs $m $s milligrams for $d days. Code?", "Refill for $n: $m, $s mg, $d days. What is the code?"),
        "Name, medicine, strength and days.",
        "refill($n, $m, $s, $d)",
    ),
    Family(
        "clinic",
        "note",
        {"p": one_of(PEOPLE), "a, b": span(2, 9)},
        ("Sick note for $p from $a to $b. Number?", "$p is ill from $a up to and including $b. Number of the note?"),
        "First and last day are given.",
        "sick_note($p, $a, $b)",
    ),
    Family(
        "clinic",
        "dose",
        {"m": ["ibuprofen", "paracetamol", "amoxicillin"], "k": digits(9, 60), "t": ints(2, 4)},
        ("$k kilograms, $t doses of $m a day: milligrams of one?", "How much $m, in milligrams, is one of $t daily doses at $k kg?"),
        "Weight and number of doses are given.",
        "dose($m, $k, $t)",
    ),
)
