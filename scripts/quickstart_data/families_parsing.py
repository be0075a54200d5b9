"""Families about taking text apart: numbers, lines, pairs, logs, JSON."""

from .family import Family, slips


def _numbers_in_text(rng):
    shapes = ["{a} cats, {b} dogs and {c} birds", "room {a}, floor {b}", "order {a} of {b} pens for {c} dollars",
              "x={a} y={b} z={c}",
              "we drove {a} km, slept {b} hours and ate {c} eggs", "bus {a} at stop {b}",
              "{a} red, {b} blue, {c} green, {d} white"]
    values = {key: rng.randint(2, 99) for key in "abcd"}
    return {"text": rng.choice(shapes).format(**values)}


def _number_line(rng):
    return {"text": ",".join(str(rng.randint(1, 99)) for _ in range(rng.randint(4, 7)))}


FAMILIES = [
    Family(
        "numbers_in_text", _numbers_in_text,
        lambda text: [int(n) for n in "".join(c if c.isdigit() else " " for c in text).split()],
        ["List the numbers in $text.", "Extract all numbers from $text as a list of integers.",
         "Which numbers are in the text $text? Give a list.",
         "Read $text and return every integer in it as a list.",
         "Paul wrote the note $text. Which numbers did he use? Answer with a list.",
         "Pull the whole numbers out of $text and put them in a list, in order.", "numbers only, as a list: $text",
         "Could you find all integers that occur in $text and list them from left to right?",
         "Ignore the letters in $text and give me a list of the numbers.",
         "My notebook says $text. Collect the numbers from it in a list of integers.",
         "What list of integers do you get from the sentence $text?",
         "Scan the string $text for numbers and list each one as an integer."],
        ["I will find the numbers with a regular expression."],
        ["import re\ntext = $text\nprint([int(n) for n in re.findall(r\"\\d+\", text)])"]),
    Family(
        "sum_csv_line", _number_line, lambda text: sum(map(int, text.split(","))),
        ["Add the numbers in the line $text.", "The string $text holds numbers. What is their sum?",
         "Split $text at the commas and sum the numbers.", "Sum of the comma separated values $text?",
         "A file has the line $text. What do its numbers add up to?",
         "Please parse the comma separated line $text and return the total of its values.", "csv row $text: total?",
         "Sam typed his daily steps in one row as $text. How many is that in all?",
         "Turn the text $text into integers and tell me their sum.",
         "Between the commas of $text there are numbers. Add all of them.",
         "Could you work out the sum of the fields in the row $text?",
         "What is the total of the numbers written in the text $text?"],
        ["I will split the text and add the numbers."],
        ["text = $text\nprint(sum(int(n) for n in text.split(\",\")))"],
        slips=slips(("text = $text\nprint(sum(text.split(\",\")))",
                     "The parts are text. I will convert them with `int`."))),
]
