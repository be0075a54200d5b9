"""Practised families about numbers, dates, money and measures.

`code` solves a task and `slips` hold a program that runs and is wrong; neither is ever written into the practice file.
"""

import datetime

from scripts.quickstart_data.family import slips
from scripts.quickstart_data.pools import day, integer

from .practised import Practised


def _division(rng):
    """Two numbers whose quotient has no tie at the second decimal and is not whole."""
    while True:
        a, b = rng.randint(20, 2000), rng.randint(3, 60)
        if a % b and (a * 200) % b:
            return {"a": a, "b": b}


def _related(rng):
    factor = rng.randint(2, 9)
    a, b = rng.sample(range(2, 16), 2)
    return {"a": a * factor, "b": b * factor}


def _later_day(rng):
    return {"date": day(1990, 2035)(rng), "n": rng.randint(5, 400)}


FAMILIES = [
    Practised(
        "add", {"a": integer(20, 5000), "b": integer(20, 5000)}, lambda a, b: b + a,
        ["What is $a plus $b?", "Add $a and $b.", "A hall has $a seats and gets $b more. How many seats does it have then?",
         "Find the sum of the two numbers $a and $b.", "Leo drove $a km and then another $b km. How many km in all?",
         "I have $a coins. Grace gives me $b. How many coins do I have now?"],
        ["I will add the numbers."], ["print($a + $b)"],
        slips=slips(("print(str($a) + str($b))", "written one after the other")),
        hinted=["Compute $a + $b.",
                "The total of two bills, $a + $b euros, is how many euros?"]),
    Practised(
        "subtract", lambda rng: {"a": rng.randint(900, 5000), "b": rng.randint(10, 899)}, lambda a, b: a - b,
        ["What is $a minus $b?", "Subtract $b from $a.", "A shop had $a eggs and sold $b. How many are left?",
         "How much larger is $a than $b?", "I saved $a euros and spent $b of them. How many euros remain?",
         "Take $b away from $a. What is left?"],
        ["I will subtract."], ["print($a - $b)"], slips=slips(("print($b - $a)", "the wrong way round")),
        hinted=["Compute $a - $b.",
                "Sam had $a stamps and gave away $b. How many are left, so what is $a - $b?"]),
    Practised(
        "divide", _division, lambda a, b: round(a / b, 2),
        ["What is $a divided by $b, rounded to 2 decimals?", "Divide $a by $b and round to 2 decimals.",
         "Compute the quotient $a / $b to 2 decimals.", "$b friends share $a euros equally. How much does each get, rounded to 2 decimals?",
         "A car uses $a litres in $b days. How many litres is that per day, rounded to 2 decimals?",
         "Split $a into $b equal parts. How large is one part, rounded to 2 decimals?"],
        ["I will divide and round."], ["print(round($a / $b, 2))"],
        slips=slips(("print($a // $b)", "a whole quotient")),
        hinted=["What is round($a / $b, 2)?",
                "Compute $a / $b and round the result to 2 decimals.",
                "$a km in $b hours: $a / $b km per hour. Give the speed, rounded to 2 decimals."]),
    Practised(
        "sum_to_n", {"n": integer(8, 900)}, lambda n: n * (n + 1) // 2,
        ["What is the sum of all whole numbers from 1 to $n?", "Add the numbers 1 to $n, both included.",
         "Compute 1 + 2 + 3 + ... + $n.", "A child puts 1 stone in the first box, 2 in the second and so on up to $n stones in the last. How many stones?",
         "Find the total of the first $n positive whole numbers.", "What do I get if I add every integer from 1 up to and including $n?"],
        ["I will sum the range."], ["print(sum(range(1, $n + 1)))"],
        slips=slips(("print(sum(range(1, $n)))", "the last number is missing")),
        hinted=["What is sum(range(1, $n + 1)), the sum of the numbers from 1 to $n?",
                "Compute $n * ($n + 1) / 2, the sum of 1 to $n.",
                "Use `range` and `sum` to add the numbers from 1 to $n, $n included."]),
    Practised(
        "least_common_multiple", _related, lambda a, b: next(m for m in range(a, a * b + 1, a) if m % b == 0),
        ["What is the least common multiple of $a and $b?", "Find the lcm of $a and $b.",
         "Which is the smallest positive number that both $a and $b divide?",
         "One bell rings every $a minutes, another every $b minutes. Both ring now. After how many minutes do they next ring together?",
         "Give the smallest positive multiple shared by $a and $b.", "LCM of $a and $b?"],
        ["I will use `math.lcm`."], ["import math\nprint(math.lcm($a, $b))"],
        slips=slips(("print($a * $b)", "a common multiple, not the least")),
        hinted=["Use math.lcm on $a and $b. What does it give?",
                "What is math.lcm($a, $b)?",
                "Find the least common multiple of $a and $b with the function `math.lcm`."]),
    Practised(
        "add_days", _later_day,
        lambda date, n: datetime.date.fromordinal(datetime.date.fromisoformat(date).toordinal() + n).isoformat(),
        ["Which date is $n days after $date? Write it as YYYY-MM-DD.", "Add $n days to $date. Answer as YYYY-MM-DD.",
         "Today is $date. What is the date in $n days (YYYY-MM-DD)?",
         "A parcel sent on $date arrives exactly $n days later. On which date? Use YYYY-MM-DD.",
         "Start at $date and go forward $n days. Give the date as YYYY-MM-DD.",
         "Emma borrows a book on $date for $n days. On which date is it due (YYYY-MM-DD, the date plus $n days)?"],
        ["I will add a `timedelta`."],
        ["from datetime import date, timedelta\nprint(date.fromisoformat($date) + timedelta(days=$n))"],
        slips=slips(("from datetime import date, timedelta\nprint(date.fromisoformat($date) + timedelta(days=$n - 1))",
                     "one day too early")),
        hinted=["With timedelta(days=$n), which date comes $n days after $date? Write it as YYYY-MM-DD.",
                'Use `date` and `timedelta` of the module `datetime`: add timedelta(days=$n) to date.fromisoformat("$date"). Give the date as YYYY-MM-DD.']),
    Practised(
        "hours_to_minutes", {"h": integer(2, 60), "m": integer(1, 59)}, lambda h, m: (60 * h) + m,
        ["How many minutes are $h hours and $m minutes?", "Convert $h hours $m minutes to minutes.",
         "A flight takes $h hours and $m minutes. How many minutes is that?", "Write $h h $m min in minutes only.",
         "Nina trained for $h hours and $m minutes. For how many minutes in all?",
         "A recording lasts $h hours plus $m minutes. Give its length in minutes."],
        ["I will convert the hours and add."], ["print($h * 60 + $m)"],
        slips=slips(("print($h * 100 + $m)", "hours of a hundred minutes")),
        hinted=["What is $h * 60 + $m, the number of minutes in $h hours and $m minutes?",
                "An hour has 60 minutes. Compute $h * 60 + $m for a film of $h h $m min.",
                "Multiply $h hours by 60 and add $m minutes. How many minutes?"]),
    Practised(
        "discount", {"price": integer(12, 900), "p": lambda rng: rng.choice([5, 10, 15, 20, 25, 30, 35, 40, 60])},
        lambda price, p: price * (100 - p) / 100,
        ["A coat costs $price euros and is reduced by $p%. What is the new price in euros?",
         "What is the price of a $price euro item after a discount of $p percent?",
         "Take $p% off $price. What remains?", "The shop gives $p% discount on $price euros. How much do I pay?",
         "Reduce $price by $p percent.", "A bike for $price euros is $p% cheaper today. What does it cost today?"],
        ["I will take off the discount."], ["print(round($price * (100 - $p) / 100, 2))"],
        slips=slips(("print(round($price * $p / 100, 2))", "the discount instead of the price")),
        hinted=["Compute $price * (100 - $p) / 100, the price of $price euros less $p%.",
                "A lamp for $price euros is reduced by $p%. What is $price - $price * $p / 100?"]),
    Practised(
        "triangle_area", {"b": integer(3, 90), "h": integer(3, 90)}, lambda b, h: b * h / 2,
        ["What is the area of a triangle with base $b and height $h?", "A triangle has base $b cm and height $h cm. What is its area in square cm?",
         "Compute the area of a triangle: base $b, height $h.", "A sail is a triangle, $b m wide at the bottom and $h m high. How many square metres is it?",
         "Find half of base times height for a triangle with base $b and height $h.",
         "triangle, base $b, height $h: area?"],
        ["I will take half of base times height."], ["base = $b\nheight = $h\nprint(base * height / 2)"],
        slips=slips(("base = $b\nheight = $h\nprint(base * height)", "not halved")),
        hinted=["Compute $b * $h / 2, the area of a triangle with base $b and height $h.",
                "A triangle is half of a rectangle. What is $b * $h / 2?"]),
    Practised(
        "rectangle_perimeter", {"a": integer(3, 200), "b": integer(3, 200)}, lambda a, b: a + b + a + b,
        ["What is the perimeter of a rectangle with sides $a and $b?", "A field is $a m long and $b m wide. How long is the fence around it, in m?",
         "Compute the perimeter of a $a by $b rectangle.", "Walking once around a rectangular hall of $a m by $b m, how many metres do I go?",
         "Find the distance around a rectangle of length $a and width $b.",
         "A picture is $a cm by $b cm. How many cm of frame go all around its edge?"],
        ["I will add all four sides."], ["length = $a\nwidth = $b\nprint(2 * (length + width))"],
        slips=slips(("length = $a\nwidth = $b\nprint(length + width)", "only two sides")),
        hinted=["Compute 2 * ($a + $b), the length of a fence around a field of $a m by $b m.",
                "A rectangle has the sides $a, $b, $a and $b. What is $a + $b + $a + $b?"]),
    Practised(
        "fahrenheit_to_celsius", {"f": integer(-30, 260)}, lambda f: round((f - 32) / 1.8, 1) + 0.0,
        ["Convert $f degrees Fahrenheit to Celsius, rounded to 1 decimal.", "What is $f F in degrees Celsius (1 decimal)?",
         "An oven shows $f degrees Fahrenheit. How many degrees Celsius is that, to 1 decimal?",
         "Express the temperature $f degrees Fahrenheit in Celsius with 1 decimal.",
         "The thermometer of Sam reads $f Fahrenheit. Tell me the Celsius value, rounded to 1 decimal.",
         "$f degrees Fahrenheit are how many degrees Celsius? Round to 1 decimal."],
        ["I will subtract 32 and multiply by 5/9."], ["f = $f\nprint(round((f - 32) * 5 / 9, 1))"],
        slips=slips(("f = $f\nprint(round(f - 32 * 5 / 9, 1))", "parentheses are missing")),
        hinted=["Compute ($f - 32) * 5 / 9, which is $f degrees Fahrenheit in Celsius, and round to 1 decimal.",
                "What is round(($f - 32) * 5 / 9, 1)?"]),
    Practised(
        "product_of_three", {"a": integer(2, 60), "b": integer(2, 60), "c": integer(3, 60)}, lambda a, b, c: c * b * a,
        ["What is $a times $b times $c?", "Multiply $a, $b and $c.", "$a shelves hold $b boxes of $c pens each. How many pens are there?",
         "Find the product of the three numbers $a, $b and $c.", "A hotel has $a floors with $b rooms, each with $c lamps. How many lamps are in the rooms?",
         "For $a days I do $b rounds of $c jumps each day. How many jumps do I do?"],
        ["I will multiply the three numbers."], ["print($a * $b * $c)"], slips=slips(("print($a + $b + $c)", "added")),
        hinted=["Compute $a * $b * $c.", "What is the value of $a * $b * $c?"]),
    Practised(
        "parallelogram_area", {"b": integer(3, 200), "h": integer(3, 200)}, lambda b, h: sum(b for _ in range(h)),
        ["What is the area of a parallelogram with base $b and height $h?", "A parallelogram has base $b cm and height $h cm. What is its area in square cm?",
         "Compute the area of a parallelogram: base $b, height $h.", "A field is a parallelogram with a base of $b m and a height of $h m. How many square metres is it?",
         "parallelogram, base $b, height $h: area?", "Find the area of the parallelogram whose base is $b and whose height on it is $h."],
        ["I will multiply base and height."], ["base = $b\nheight = $h\nprint(base * height)"],
        slips=slips(("base = $b\nheight = $h\nprint(base * height / 2)", "that of a triangle")),
        hinted=["The area of a parallelogram is base times height. What is $b times $h?",
                "Compute $b * $h, the area of a parallelogram with base $b and height $h."]),
]
