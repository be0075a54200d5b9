"""Families for evaluation only: related to what is practised and trained, and in neither."""

import datetime

from scripts.quickstart_data.family import Family, slips
from scripts.quickstart_data.pools import CITIES, ITEMS, day, distinct_integers, integer, integers, phrase


def _not_even_division(rng):
    while True:
        a, b = rng.randint(50, 3000), rng.randint(4, 70)
        if a % b:
            return {"a": a, "b": b}


def _end(rng):
    numbers = distinct_integers(5, 9, 1, 99)(rng)
    return {"numbers": numbers, "k": rng.randint(2, 4)}


def _two_entries(rng):
    names = rng.sample(ITEMS, 4)
    data = dict(zip(names, rng.sample(range(2, 99), 4)))
    a, b = sorted(names[:2], key=data.get, reverse=True)
    return {"data": data, "a": a, "b": b}


def _roads(rng):
    cities = rng.sample(CITIES, 3)
    return {"table": {city: rng.randint(40, 900) for city in cities}, "a": cities[0], "n": rng.randint(2, 9)}


_DISTANCE = "You can call distance(city: str) -> int, the distance to a city in km. "

FAMILIES = [
    Family(
        "integer_quotient", _not_even_division, lambda a, b: (a - a % b) // b,
        ["How many whole times does $b fit into $a?", "What is the integer part of $a divided by $b?",
         "A box holds $b bottles. How many full boxes can be made from $a bottles?",
         "I have $a euros and a ticket costs $b euros. How many tickets can I buy?",
         "What is $a // $b, the whole part of $a divided by $b?"],
        ["I will use whole division."], ["print($a // $b)"], slips=slips(("print(round($a / $b, 2))", "not whole"))),
    Family(
        "to_octal", {"n": integer(20, 5000)}, lambda n: f"{n:o}",
        ["Write $n in base 8, without prefix.", "Convert the decimal number $n to octal (digits only, no prefix).",
         "What is $n in the octal system, without 0o?", "Give the octal digits of $n without a prefix.",
         "What is oct($n), without the first two characters 0o?"],
        ["I will convert to octal."], ["print(oct($n)[2:])"], slips=slips(("print(bin($n)[2:])", "binary"))),
    Family(
        "sum_of_squares", {"n": integer(4, 80)}, lambda n: n * (n + 1) * (2 * n + 1) // 6,
        ["What is the sum of the squares of 1 to $n?", "Compute 1^2 + 2^2 + ... + $n^2.",
         "Square each whole number from 1 to $n, both included, and add the squares.",
         "A pyramid of balls has square layers with edges 1 to $n. How many balls are in it?",
         "Compute $n * ($n + 1) * (2 * $n + 1) // 6, the sum of the squares of 1 to $n."],
        ["I will add the squares."], ["print(sum(k ** 2 for k in range(1, $n + 1)))"],
        slips=slips(("print(sum(range(1, $n + 1)) ** 2)", "the square of the sum"))),
    Family(
        "count_odd", {"numbers": integers(5, 9, 1, 200)}, lambda numbers: sum(n & 1 for n in numbers),
        ["How many odd numbers are in $numbers?", "Count the odd values of $numbers.",
         "Among $numbers, how many cannot be divided by 2 without remainder?", "What is the number of odd elements in $numbers?",
         "Count the numbers n in $numbers with n % 2 == 1."],
        ["I will count the odd numbers."], ["numbers = $numbers\nprint(len([n for n in numbers if n % 2 == 1]))"],
        slips=slips(("numbers = $numbers\nprint(len([n for n in numbers if n % 2 == 0]))", "the even ones"))),
    Family(
        "squares_of_list", {"numbers": integers(3, 6, 3, 30)}, lambda numbers: [n * n for n in numbers],
        ["Square every number of $numbers. Give a list.", "Give the list of the squares of $numbers, in the same order.",
         "Square tiles have edges $numbers. List their areas in this order.", "Replace each element of $numbers by its square and show the list.",
         "With numbers = $numbers, make the list of n ** 2 for n in numbers."],
        ["I will square each number."], ["numbers = $numbers\nprint([n ** 2 for n in numbers])"],
        slips=slips(("numbers = $numbers\nprint([n * 2 for n in numbers])", "doubled"))),
    Family(
        "last_elements", _end, lambda numbers, k: list(reversed(list(reversed(numbers))[:k])),
        ["Give the last $k elements of $numbers as a list, in their order.", "Take the final $k numbers of $numbers. Answer with a list in the same order.",
         "Keep only the last $k values in $numbers, as a list.", "The newest measurements are the last $k of $numbers. List them in order.",
         "With numbers = $numbers, what is numbers[-$k:]?"],
        ["I will take a slice from the end."], ["numbers = $numbers\nprint(numbers[-$k:])"],
        slips=slips(("numbers = $numbers\nprint(numbers[$k:])", "without the first ones"))),
    Family(
        "remove_spaces", {"text": phrase(2, 5)}, lambda text: "".join(c for c in text if c != " "),
        ["Remove all spaces from $text.", "Write the words of $text together, without spaces.",
         "Delete every blank in $text.", "A tag may not hold spaces. Write $text without them.",
         "In $text, replace each \" \" by \"\"."],
        ["I will remove the spaces."], ["text = $text\nprint(text.replace(\" \", \"\"))"],
        slips=slips(("text = $text\nprint(text.strip())", "only at the ends"))),
    Family(
        "initials", {"text": phrase(3, 6)}, lambda text: text[0] + "".join(after for before, after in zip(text, text[1:]) if before == " "),
        ["Write the first letters of the words in $text together, in order.", "Which text do the initial letters of the words of $text form?",
         "Make an abbreviation in small letters of the first letter of every word in $text.", "Take the first letter of each word of $text and join them without spaces.",
         "Split $text, take w[0] of every word w and join these letters without spaces."],
        ["I will join the first letters."], ["text = $text\nprint(\"\".join(w[0] for w in text.split()))"],
        slips=slips(("text = $text\nprint(text.split()[0])", "the first word"))),
    Family(
        "subtract_days", lambda rng: {"date": day(1990, 2035)(rng), "n": rng.randint(5, 400)},
        lambda date, n: datetime.date.fromordinal(datetime.date.fromisoformat(date).toordinal() - n).isoformat(),
        ["Which date is $n days before $date? Write it as YYYY-MM-DD.", "Go back $n days from $date. Answer as YYYY-MM-DD.",
         "Today is $date. What was the date $n days ago (YYYY-MM-DD)?", "A cheese that is exactly $n days old on $date was made on which date? Use YYYY-MM-DD.",
         "With timedelta(days=$n), which date lies $n days before $date? Write it as YYYY-MM-DD."],
        ["I will subtract a `timedelta`."],
        ["from datetime import date, timedelta\nprint(date.fromisoformat($date) - timedelta(days=$n))"],
        slips=slips(("from datetime import date, timedelta\nprint(date.fromisoformat($date) + timedelta(days=$n))", "forward"))),
    Family(
        "price_with_tax", {"price": integer(10, 900), "p": lambda rng: rng.choice([5, 7, 8, 10, 12, 19, 20, 21, 25])},
        lambda price, p: price * (100 + p) / 100,
        ["A chair costs $price euros before tax of $p%. What does it cost with tax, in euros?", "Add $p% tax to $price euros. What is the total in euros?",
         "Increase $price by $p percent.", "The rent of $price euros goes up by $p%. What is the new rent in euros?",
         "Compute $price * (100 + $p) / 100, the price of $price euros plus $p%."],
        ["I will add the percentage."], ["print(round($price * (100 + $p) / 100, 2))"],
        slips=slips(("print(round($price * $p / 100, 2))", "the tax alone"))),
    Family(
        "cuboid_volume", {"a": integer(2, 60), "b": integer(2, 60), "c": integer(3, 60)}, lambda a, b, c: c * b * a,
        ["What is the volume of a box with edges $a, $b and $c?", "A tank is $a dm long, $b dm wide and $c dm high. How many cubic dm does it hold?",
         "Find the volume of a $a by $b by $c cuboid.", "How many unit cubes fill a block of $a by $b by $c?",
         "Compute $a * $b * $c, the volume of a box of $a by $b by $c."],
        ["I will multiply the edges."], ["print($a * $b * $c)"], slips=slips(("print($a + $b + $c)", "added"))),
    Family(
        "difference_of_entries", _two_entries, lambda data, a, b: data[a] - data[b],
        ["In $data, how much larger is the value of $a than that of $b?", "Stock: $data. How many more $a than $b are there?",
         "Given $data, subtract the value of $b from the value of $a.", "$data were sold. By how many did the sales of $a exceed those of $b?",
         "With data = $data, what is data[$a] - data[$b]?"],
        ["I will look up both and subtract."], ["data = $data\nprint(data[$a] - data[$b])"],
        slips=slips(("data = $data\nprint(data[$a] + data[$b])", "added"))),
    Family(
        "tool_distance", _roads, lambda table, a, n: table[a] * 2 * n,
        [_DISTANCE + "I drive to $a and back $n times. How many km is that?", _DISTANCE + "A bus makes $n round trips to $a. How many km does it drive?",
         _DISTANCE + "How many km are $n journeys to $a, each there and back?",
         _DISTANCE + "What is distance($a) * 2 * $n, the length of $n round trips in km?"],
        ["I will call `distance`, double it for the way back and multiply."], ["print(distance($a) * 2 * $n)"],
        setup="table = $table\ndef distance(city):\n    return table[city]\n",
        slips=slips(("print(distance($a) * $n)", "one way only"))),
]
