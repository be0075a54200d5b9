"""Families kept for evaluation only: none of their operations is trained."""

import datetime
import math

from .family import Family
from .pools import CITIES, WORDS, day, decimal, distinct_integers, integer, integers, phrase, text, word, words


def _rotation(rng):
    numbers = distinct_integers(4, 7, 1, 60)(rng)
    return {"numbers": numbers, "k": rng.randint(1, 3)}


def _levels(rng):
    cities = rng.sample(CITIES, 3)
    return {"table": {c: rng.randint(5, 900) for c in cities}, "a": cities[0], "b": cities[1]}


def _one_short_word(rng):
    chosen = rng.sample([w for w in WORDS if len(w) > 5], 3) + [rng.choice([w for w in WORDS if len(w) == 5])]
    rng.shuffle(chosen)
    return {"text": " ".join(chosen)}


def _best(rng):
    names = rng.sample(WORDS, 4)
    return {"data": dict(zip(names, rng.sample(range(1, 90), 4)))}


_NONE = {"think": [], "code": []}

FAMILIES = [
    Family("count_consonants", {"text": text()}, lambda text: sum(c not in "aeiou " for c in text),
           ["How many consonants are in $text?", "Count the consonants of $text.",
            "Find how many letters of $text are not a, e, i, o or u (do not count spaces)."], **_NONE),
    Family("product_of_list", {"numbers": integers(3, 6, 2, 12)}, lambda numbers: math.prod(numbers),
           ["What is the product of all numbers in $numbers?", "Multiply the numbers $numbers together.",
            "Multiply all elements of the list $numbers."], **_NONE),
    Family("third_largest", {"numbers": distinct_integers(5, 8, 1, 200)}, lambda numbers: sorted(numbers)[-3],
           ["What is the third largest number in $numbers?", "Find the third highest value of $numbers.",
            "Points: $numbers. Who is third? Give the points."], **_NONE),
    Family("swap_case", lambda rng: {"text": text()(rng).title()}, lambda text: text.swapcase(),
           ["Swap upper and lower case in $text.",
            "Change small letters of $text to capitals and capitals to small letters.",
            "Invert the case of every letter in $text."], **_NONE),
    Family("sum_of_cubes", {"n": integer(4, 60)}, lambda n: (n * (n + 1) // 2) ** 2,
           ["What is the sum of the cubes from 1 to $n?", "Compute 1^3 + 2^3 + ... + $n^3.",
            "Add the cubes of the first $n numbers."], **_NONE),
    Family("to_hexadecimal", {"n": integer(30, 5000)}, lambda n: f"{n:x}",
           ["Write $n in hexadecimal without prefix, in small letters.",
            "Convert $n to base 16 (lower case, no prefix).", "What is $n in hex, without 0x?"], **_NONE),
    Family("cube", {"n": integer(5, 99)}, lambda n: n * n * n,
           ["What is the cube of $n?", "Compute $n cubed.", "How many small cubes make a cube with edge $n?"],
           **_NONE),
    Family("day_of_year", {"date": day(1990, 2035)},
           lambda date: (datetime.date.fromisoformat(date) - datetime.date(int(date[:4]), 1, 1)).days + 1,
           ["Which day of the year is $date (January 1 is day 1)?",
            "Give the number of the day in the year for $date.",
            "How many days into its year is $date, counting the day itself?"], **_NONE),
    Family("sum_of_odd_numbers", {"n": integer(10, 300)}, lambda n: ((n + 1) // 2) ** 2,
           ["What is the sum of the odd numbers from 1 to $n?", "Add all odd integers up to $n.",
            "Compute the total of every odd number not above $n."], **_NONE),
    Family("rotate_left", _rotation, lambda numbers, k: numbers[k:] + numbers[:k],
           ["Rotate the list $numbers to the left by $k.", "Move the first $k elements of $numbers to the end.",
            "Shift $numbers left by $k places, with the front going to the back."], **_NONE),
    Family("word_lengths", {"words": words(3, 5)}, lambda words: [len(w) for w in words],
           ["Give the lengths of the words $words as a list.",
            "How long is each word of $words? Give a list of numbers.",
            "List the number of letters of each word: $words"], **_NONE),
    Family("count_negative", {"numbers": integers(5, 9, -40, 40)}, lambda numbers: sum(n < 0 for n in numbers),
           ["How many negative numbers are in $numbers?", "Count the values below zero in $numbers.",
            "In $numbers, how many elements are less than 0?"], **_NONE),
    Family("negate", {"numbers": integers(3, 6, 1, 90)}, lambda numbers: [-n for n in numbers],
           ["Change the sign of every number of $numbers.", "Give the list $numbers with each number made negative.",
            "Multiply each element of $numbers by -1."], **_NONE),
    Family("first_and_last", {"text": word()}, lambda text: text[0] + text[-1],
           ["Join the first and the last letter of $text.",
            "Which two letters are at the start and the end of $text? Write them together.",
            "Give the first letter of $text followed by its last letter."], **_NONE),
    Family("capitalise_words", {"text": phrase(2, 5)},
           lambda text: " ".join(w[0].upper() + w[1:] for w in text.split()),
           ["Start every word of $text with a capital letter.", "Convert $text to title case.",
            "Make the first letter of each word in $text big."], **_NONE),
    Family("shortest_word", _one_short_word, lambda text: sorted(text.split(), key=len)[0],
           ["What is the shortest word in $text?", "Find the word with the fewest letters in $text.",
            "Which word of $text is the shortest?"], **_NONE),
    Family("sphere_volume", {"r": integer(1, 30)}, lambda r: round(4 / 3 * math.pi * r * r * r, 2),
           ["What is the volume of a sphere with radius $r, to 2 decimals?",
            "A ball has radius $r. Find its volume (2 decimals).",
            "Compute 4/3 times pi times $r cubed, 2 decimals."], **_NONE),
    Family("key_of_highest", _best, lambda data: max(data, key=data.get),
           ["Which key has the highest value in $data?", "Scores: $data. Who is the winner?",
            "Find the name with the most points in $data."], **_NONE),
    Family("square_area", {"a": decimal(2, 60, 1)}, lambda a: round(a * a, 2),
           ["A square has sides of $a m. What is its area, to 2 decimals?",
            "Area of a square with side $a, 2 decimals?",
            "How large is a square room with walls of $a m (2 decimals)?"], **_NONE),
    Family("tool_height", _levels, lambda table, a, b: table[a] + table[b],
           ["You can call height(city: str) -> int, the height above the sea in metres. What is the height of $a plus the height of $b?",
            "You can call height(city: str) -> int, the height above the sea in metres. Add the heights of $a and $b."],
           setup="table = $table\ndef height(city):\n    return table[city]\n", **_NONE),
]
