"""Practised families about lists and texts.

`code` solves a task and `slips` hold a program that runs and is wrong; neither is ever written into the practice file.
"""

from scripts.quickstart_data.family import slips
from scripts.quickstart_data.pools import distinct_integers, integers, phrase

from .practised import Practised


def _repeated_value(rng):
    value = rng.randint(1, 30)
    numbers = [value] * rng.randint(2, 4) + integers(3, 6, 1, 30)(rng)
    rng.shuffle(numbers)
    return {"numbers": numbers, "value": value}


def _start(rng):
    numbers = distinct_integers(5, 9, 1, 99)(rng)
    return {"numbers": numbers, "k": rng.randint(2, 4)}


def _limit(rng):
    numbers = distinct_integers(5, 9, 1, 99)(rng)
    return {"numbers": numbers, "limit": sorted(numbers)[rng.randint(1, len(numbers) - 2)] + rng.choice([-1, 1])}


def _letter(rng):
    while True:
        text = phrase(2, 4)(rng)
        letters = sorted({c for c in text if c != " " and text.count(c) > 1})
        if letters:
            return {"text": text, "letter": rng.choice(letters)}


def _without(text, letter):
    return "".join(text.split(letter))


FAMILIES = [
    Practised(
        "range_of_list", {"numbers": distinct_integers(4, 8, 1, 300)}, lambda numbers: sorted(numbers)[-1] - sorted(numbers)[0],
        ["What is the difference between the largest and the smallest number of $numbers?",
         "How far apart are the highest and the lowest value of $numbers?", "Compute the range (maximum minus minimum) of $numbers.",
         "Temperatures of a week: $numbers. By how much does the warmest exceed the coldest?",
         "Subtract the smallest element of $numbers from the largest.",
         "Prices in the shops are $numbers. How much do I save with the cheapest compared to the dearest?"],
        ["I will subtract the minimum from the maximum."], ["numbers = $numbers\nprint(max(numbers) - min(numbers))"],
        slips=slips(("numbers = $numbers\nprint(numbers[-1] - numbers[0])", "last minus first")),
        hinted=["With numbers = $numbers, what is max(numbers) - min(numbers)?",
                "For $numbers, subtract the minimum (`min`) from the maximum (`max`)."]),
    Practised(
        "second_smallest", {"numbers": distinct_integers(4, 8, 1, 300)},
        lambda numbers: min(n for n in numbers if n != min(numbers)),
        ["What is the second smallest number in $numbers?", "Find the second lowest value of $numbers.",
         "Which number of $numbers is smaller than all others but one?",
         "Runners took $numbers seconds. What was the second best (second lowest) time?",
         "Leave out the smallest of $numbers. What is the smallest now?",
         "Give the number that comes second when $numbers are ordered from low to high."],
        ["I will sort and take the second."], ["numbers = $numbers\nprint(sorted(numbers)[1])"],
        slips=slips(("numbers = $numbers\nprint(sorted(numbers)[-2])", "the second largest")),
        hinted=["Sort the numbers $numbers and take the second from the start.",
                "With numbers = $numbers, what is sorted(numbers)[1]?"]),
    Practised(
        "count_even", {"numbers": integers(5, 9, 1, 200)}, lambda numbers: len(numbers) - sum(n & 1 for n in numbers),
        ["How many even numbers are in $numbers?", "Count the even values in $numbers.",
         "In $numbers, how many elements can be divided by 2 without remainder?",
         "Houses on my street: $numbers. How many have an even number?",
         "What is the number of even elements of $numbers?", "Of $numbers, how many are even?"],
        ["I will count the even numbers."], ["numbers = $numbers\nprint(len([n for n in numbers if n % 2 == 0]))"],
        slips=slips(("numbers = $numbers\nprint(len([n for n in numbers if n % 2]))", "the odd ones")),
        hinted=["Count the numbers n with n % 2 == 0 in $numbers.",
                "With numbers = $numbers, count how many n have n % 2 == 0. Use `len`."]),
    Practised(
        "keep_odd", {"numbers": integers(5, 9, 1, 200)}, lambda numbers: list(filter(lambda n: str(n)[-1] in "13579", numbers)),
        ["Keep only the odd numbers of $numbers, in their order, as a list.", "List the odd numbers in $numbers. Keep their order.",
         "Remove all even numbers from $numbers and give the list that remains.", "Which elements of $numbers are odd? Give a list in the given order.",
         "Filter $numbers: only odd values, same order, as a list.",
         "Throw away every even number of $numbers. What list is left?"],
        ["I will keep the odd numbers."], ["numbers = $numbers\nprint([n for n in numbers if n % 2 == 1])"],
        slips=slips(("numbers = $numbers\nprint([n for n in numbers if n % 2 == 0])", "the even ones")),
        hinted=["Keep only the numbers n of $numbers with n % 2 == 1. Give a list.",
                "With numbers = $numbers, list every n where n % 2 == 1."]),
    Practised(
        "sum_of_even_numbers", {"numbers": integers(5, 9, 1, 120)}, lambda numbers: sum(n * (1 - n % 2) for n in numbers),
        ["What is the sum of the even numbers in $numbers?", "Add only the even values of $numbers.",
         "Ignore the odd numbers of $numbers and add the rest.", "Total of all even elements of $numbers?",
         "Tickets $numbers were drawn; only even ones win their number in euros. How many euros are won in all?",
         "Sum those of $numbers that are divisible by 2."],
        ["I will add the even numbers."], ["numbers = $numbers\nprint(sum(n for n in numbers if n % 2 == 0))"],
        slips=slips(("numbers = $numbers\nprint(len([n for n in numbers if n % 2 == 0]))", "counted, not added")),
        hinted=["With numbers = $numbers, use `sum` on those n with n % 2 == 0.",
                "Keep the even numbers of $numbers, then give the sum of them."]),
    Practised(
        "double_each", {"numbers": integers(3, 7, 1, 90)}, lambda numbers: [n + n for n in numbers],
        ["Double every number of $numbers. Give a list.", "Multiply each element of $numbers by 2 and show the list.",
         "A recipe needs $numbers grams. List the amounts for twice as much.", "Give the list $numbers with each number twice as large.",
         "What list do I get if each number in $numbers is doubled?", "Replace each of $numbers by two times itself. Answer with the list."],
        ["I will double each number."], ["numbers = $numbers\nprint([n * 2 for n in numbers])"],
        slips=slips(("numbers = $numbers\nprint(numbers * 2)", "the list twice")),
        hinted=["With numbers = $numbers, make the list of n * 2 for n in numbers.",
                "With numbers = $numbers, what is [n * 2 for n in numbers]?"]),
    Practised(
        "count_value", _repeated_value, lambda numbers, value: sum(1 for n in numbers if n == value),
        ["How many times does $value occur in $numbers?", "Count how often the number $value is in $numbers.",
         "Dice and cards gave $numbers. How often did $value come up?", "In the list $numbers, how many elements equal $value?",
         "What is the number of occurrences of $value in $numbers?", "How often is $value among $numbers?"],
        ["I will count the value."], ["numbers = $numbers\nprint(numbers.count($value))"],
        slips=slips(("numbers = $numbers\nprint(numbers.index($value))", "its position")),
        hinted=["With numbers = $numbers, what is numbers.count($value)?",
                "Use the method `count` of the list: how many times is $value in $numbers?"]),
    Practised(
        "first_elements", _start, lambda numbers, k: [numbers[i] for i in range(k)],
        ["Give the first $k elements of $numbers as a list.", "Take the first $k numbers of $numbers. Answer with a list.",
         "Keep just the first $k values in $numbers, as a list.", "The winners are the first $k of $numbers. List them.",
         "What are the first $k entries of the list $numbers? Give a list.", "Cut $numbers after $k elements and show the front part as a list."],
        ["I will take a slice."], ["numbers = $numbers\nprint(numbers[:$k])"],
        slips=slips(("numbers = $numbers\nprint(numbers[1:$k])", "the first is missing")),
        hinted=["With numbers = $numbers, what is numbers[:$k]?",
                "Use the slice [:$k] on the list $numbers. What is the result?"]),
    Practised(
        "last_word", {"text": phrase(3, 7)}, lambda text: text[text.rindex(" ") + 1:],
        ["What is the last word of $text?", "Give the final word in $text.", "Which word does $text end with?",
         "A parrot repeats only the last word of $text. What does it say?", "Find the word at the end of $text.",
         "Split $text at the spaces. Which word comes last?"],
        ["I will split and take the last."], ["text = $text\nprint(text.split()[-1])"],
        slips=slips(("text = $text\nprint(text[-1])", "the last letter")),
        hinted=["Use `split` on $text and take the element [-1].",
                "With text = $text, what is text.split()[-1]?"]),
    Practised(
        "hyphenate", {"text": phrase(2, 5)}, lambda text: "-".join(text.split(" ")),
        ["Replace each space in $text by a hyphen (-).", "Join the words of $text with hyphens (-).",
         "Write $text with - in place of the blanks.", "A file name may not hold spaces. Write $text with a - for every space.",
         "Put the sign - where the words of $text are separated by a space.", "Turn $text into one text with the words linked by hyphens (-)."],
        ["I will put hyphens for the spaces."], ["text = $text\nprint(text.replace(\" \", \"-\"))"],
        slips=slips(("text = $text\nprint(\"-\".join(text))", "between all letters")),
        hinted=['Replace " " by "-" in $text.',
                'Use `replace` to change every " " in $text to "-".']),
    Practised(
        "remove_letter", _letter, _without,
        ["Remove every letter $letter from $text.", "Delete all $letter from $text.", "Write $text without the letter $letter.",
         "The key for $letter is broken. What appears when I type $text?", "Take each $letter out of $text and show what is left.",
         "Drop all occurrences of $letter in $text."],
        ["I will remove the letter."], ["text = $text\nprint(text.replace($letter, \"\"))"],
        slips=slips(("text = $text\nprint(text.replace($letter, \"\", 1))", "only the first one")),
        hinted=['Replace $letter by "" in $text.',
                "Use `replace` to change every $letter in $text to nothing."]),
    Practised(
        "count_below", _limit, lambda numbers, limit: sum(n < limit for n in numbers),
        ["How many numbers in $numbers are less than $limit?", "Count the values below $limit in $numbers.",
         "Children of the ages $numbers come; those younger than $limit go free. How many go free?",
         "In $numbers, how many elements are smaller than $limit?", "What is the number of elements of $numbers under $limit?",
         "Marks: $numbers. How many students have fewer than $limit points?"],
        ["I will count the numbers below the limit."], ["numbers = $numbers\nprint(len([n for n in numbers if n < $limit]))"],
        slips=slips(("numbers = $numbers\nprint(len([n for n in numbers if n > $limit]))", "those above")),
        hinted=["Count the numbers n with n < $limit in $numbers.",
                "With numbers = $numbers, for how many n is n < $limit?"]),
    Practised(
        "keep_above", _limit, lambda numbers, limit: list(filter(limit.__lt__, numbers)),
        ["Keep only the numbers of $numbers that are greater than $limit, in their order, as a list.",
         "List the values of $numbers larger than $limit. Keep their order.", "Which numbers of $numbers exceed $limit? Give a list in the given order.",
         "Remove from $numbers every number that is not greater than $limit. Give the list that remains.",
         "Only jumps of more than $limit cm count. List those that count of $numbers, in this order.",
         "From the list $numbers, select what is above $limit. Answer with a list, order unchanged."],
        ["I will keep the numbers above the limit."], ["numbers = $numbers\nprint([n for n in numbers if n > $limit])"],
        slips=slips(("numbers = $numbers\nprint([n for n in numbers if n < $limit])", "those below")),
        hinted=["Keep only the numbers n of $numbers with n > $limit. Give a list.",
                "With numbers = $numbers, list every n where n > $limit."]),
    Practised(
        "count_spaces", {"text": phrase(3, 8)}, lambda text: len(text.split(" ")) - 1,
        ["How many spaces are in $text?", "Count the blanks in $text.", "What is the number of spaces in $text?",
         "How often do I press the space bar to type $text?", "In $text, how many characters are spaces?",
         "Find how many blanks separate the words of $text."],
        ["I will count the spaces."], ["text = $text\nprint(text.count(\" \"))"],
        slips=slips(("text = $text\nprint(len(text.split()))", "the words")),
        hinted=["How many times does the character \" \" appear in $text?", "With text = $text, what is text.count(\" \")?"]),
]
