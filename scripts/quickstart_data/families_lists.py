"""Families about lists."""

from collections import Counter

from .family import Family, slips
from .pools import WORDS, choice, distinct_integers, integer, integers, repeating_integers, words


def _with_threshold(rng):
    numbers = integers(5, 9, 1, 99)(rng)
    return {"numbers": numbers, "limit": rng.randint(min(numbers), max(numbers))}


def _with_member(rng):
    numbers = distinct_integers(4, 8, 1, 99)(rng)
    return {"numbers": numbers, "item": rng.choice(numbers)}


def _with_repeat(rng):
    numbers = repeating_integers(6, 10, 1, 9)(rng)
    return {"numbers": numbers, "item": rng.choice(numbers)}


def _with_count(rng):
    numbers = integers(5, 9, 1, 99)(rng)
    return {"numbers": numbers, "k": rng.randint(2, len(numbers) - 2)}


def _with_place(rng):
    items = rng.sample(WORDS, rng.randint(4, 6)) if rng.random() < 0.5 else distinct_integers(4, 8, 1, 99)(rng)
    return {"items": items, "n": rng.randint(0, len(items) - 1)}


def _two_lists(rng):
    shared = rng.sample(range(1, 40), 12)
    return {"a": shared[:rng.randint(4, 6)], "b": sorted(shared[2:rng.randint(6, 9)], reverse=True)}


def _pairs(rng):
    count = rng.randint(2, 4)
    return {"a": [rng.randint(1, 12) for _ in range(count)], "b": [rng.randint(1, 12) for _ in range(count)]}


def _nested(rng):
    return {"rows": [[rng.randint(1, 30) for _ in range(rng.randint(1, 3))] for _ in range(rng.randint(2, 4))]}


def _sums(numbers):
    return [sum(numbers[:end]) for end in range(1, len(numbers) + 1)]


FAMILIES = [
    Family(
        "sum_list", {"numbers": integers(4, 9, 1, 120)}, lambda numbers: sum(numbers),
        ["What is the sum of $numbers?", "Add up the numbers $numbers.", "Find the total of $numbers.",
         "Sum the list $numbers.", "What do $numbers add up to?",
         "I collected $numbers shells on different days. How many shells in total?",
         "Total of these values: $numbers", "Compute the sum of all elements of $numbers."],
        ["I will add up the numbers."], ["numbers = $numbers\nprint(sum(numbers))"],
        held=["My bills are $numbers euros. What do I have to pay altogether?"],
        slips=slips(("numbers = $numbers\nprint(numbers.sum())",
                     "A list has no method `sum`. I will use the function."),
                    ("numbers = $numbers\nprint(total(numbers))",
                     "There is no function `total`. I will use `sum`."))),
    Family(
        "largest", {"numbers": integers(4, 9, -50, 400)}, lambda numbers: sorted(numbers)[-1],
        ["What is the largest number in $numbers?", "Find the maximum of $numbers.",
         "Which of $numbers is the biggest?", "Give the highest value in $numbers.",
         "Max of $numbers?", "The scores were $numbers. What was the best score?",
         "Pick the greatest element of $numbers."],
        ["I will take the maximum."], ["numbers = $numbers\nprint(max(numbers))"],
        held=["The towers measure $numbers metres. How high is the tallest?"],
        slips=slips(("numbers = $numbers\nprint(numbers.max())",
                     "A list has no method `max`. I will use the function."))),
    Family(
        "smallest", {"numbers": integers(4, 9, -50, 400)}, lambda numbers: sorted(numbers)[0],
        ["What is the smallest number in $numbers?", "Find the minimum of $numbers.",
         "Which of $numbers is the lowest?", "Give the least value in $numbers.",
         "Min of $numbers?", "Runners needed $numbers seconds. What was the fastest time?",
         "The prices are $numbers. Which one is the cheapest?"],
        ["I will take the minimum."], ["numbers = $numbers\nprint(min(numbers))"],
        held=["The nights had $numbers degrees. How cold was the coldest?"]),
    Family(
        "sort_ascending", {"numbers": integers(4, 8, 1, 99)}, lambda numbers: sorted(numbers),
        ["Sort $numbers from small to large.", "Put the numbers $numbers in ascending order.",
         "Order $numbers from lowest to highest as a list.",
         "Sort this list: $numbers", "Arrange $numbers in increasing order."],
        ["I will sort the numbers."], ["numbers = $numbers\nprint(sorted(numbers))",
                                       "numbers = $numbers\nnumbers.sort()\nprint(numbers)"],
        held=["Line up $numbers so that each is at least as big as the one before."],
        slips=slips(("numbers = $numbers\nprint(numbers.sorted())",
                     "A list has no method `sorted`. I will use the function."),
                    ("numbers = $numbers\nprint(sort(numbers))",
                     "There is no function `sort`. I will use `sorted`."))),
    Family(
        "sort_descending", {"numbers": integers(4, 8, 1, 99)}, lambda numbers: sorted(numbers)[::-1],
        ["Sort $numbers from large to small.", "Put $numbers in descending order.",
         "Order the list $numbers from highest to lowest.", "Rank the scores $numbers from best to worst as a list.",
         "Arrange $numbers in decreasing order."],
        ["I will sort the numbers in reverse."], ["numbers = $numbers\nprint(sorted(numbers, reverse=True))"],
        slips=slips(("numbers = $numbers\nprint(sorted(numbers, descending=True))",
                     "`sorted` has no option `descending`. It is called `reverse`."))),
    Family(
        "second_largest", {"numbers": distinct_integers(4, 8, 1, 200)},
        lambda numbers: max(set(numbers) - {max(numbers)}),
        ["What is the second largest number in $numbers?", "Find the second highest value of $numbers.",
         "Which number of $numbers is second biggest?",
         "Points: $numbers. Who is second? Give the points.", "Give the runner-up to the maximum of $numbers."],
        ["I will sort the numbers and take the second from the end."],
        ["numbers = $numbers\nprint(sorted(numbers)[-2])"],
        held=["The silver medal goes to the score just below the top of $numbers. Which score is it?"]),
    Family(
        "second_smallest", {"numbers": distinct_integers(4, 8, 1, 200)},
        lambda numbers: min(set(numbers) - {min(numbers)}),
        ["What is the second smallest number in $numbers?", "Find the second lowest value of $numbers.",
         "Which of $numbers is the next after the minimum?",
         "Times: $numbers. Give the second fastest."],
        ["I will sort the numbers and take the second."], ["numbers = $numbers\nprint(sorted(numbers)[1])"]),
    Family(
        "keep_even", {"numbers": integers(5, 9, 1, 99)}, lambda numbers: [n for n in numbers if not n & 1],
        ["Keep only the even numbers of $numbers.", "Which of $numbers are even? Give a list.",
         "Filter the even values from $numbers.", "List the even numbers in $numbers.",
         "Remove the odd numbers from $numbers."],
        ["I will keep the even numbers."], ["numbers = $numbers\nprint([n for n in numbers if n % 2 == 0])"],
        held=["From $numbers select those that can be halved without a rest, as a list."]),
    Family(
        "keep_odd", {"numbers": integers(5, 9, 1, 99)}, lambda numbers: [n for n in numbers if n & 1],
        ["Keep only the odd numbers of $numbers.", "Which of $numbers are odd? Give a list.",
         "Filter the odd values from $numbers.", "Remove the even numbers from $numbers."],
        ["I will keep the odd numbers."], ["numbers = $numbers\nprint([n for n in numbers if n % 2 == 1])"]),
    Family(
        "count_even", {"numbers": integers(5, 10, 1, 99)}, lambda numbers: len([n for n in numbers if not n & 1]),
        ["How many even numbers are in $numbers?", "Count the even values in $numbers.",
         "In $numbers, how many are divisible by 2?", "Number of even elements of $numbers?"],
        ["I will count the even numbers."], ["numbers = $numbers\nprint(len([n for n in numbers if n % 2 == 0]))"]),
    Family(
        "count_above", _with_threshold, lambda numbers, limit: len(list(filter(lambda n: n > limit, numbers))),
        ["How many of $numbers are greater than $limit?", "Count the numbers above $limit in $numbers.",
         "In $numbers, how many values exceed $limit?",
         "Pupils got $numbers points. How many have more than $limit?", "Number of elements over $limit: $numbers"],
        ["I will count the numbers above the limit."],
        ["numbers = $numbers\nprint(len([n for n in numbers if n > $limit]))"],
        held=["Fish weigh $numbers grams. How many are heavier than $limit grams?"]),
    Family(
        "keep_below", _with_threshold, lambda numbers, limit: list(filter(lambda n: n < limit, numbers)),
        ["Keep the numbers of $numbers that are less than $limit.",
         "Which of $numbers are below $limit? Give a list.", "Filter $numbers: only values under $limit.",
         "List all elements of $numbers smaller than $limit."],
        ["I will keep the numbers below the limit."],
        ["numbers = $numbers\nprint([n for n in numbers if n < $limit])"]),
    Family(
        "distinct_count", {"numbers": repeating_integers(6, 10, 1, 12)}, lambda numbers: len(Counter(numbers)),
        ["How many different numbers are in $numbers?", "Count the distinct values of $numbers.",
         "Number of unique elements in $numbers?", "Without repeats, how many numbers does $numbers have?"],
        ["I will count the different numbers with a set."], ["numbers = $numbers\nprint(len(set(numbers)))"],
        held=["Stickers with $numbers: how many kinds do I own if doubles count once?"]),
    Family(
        "distinct_sorted", {"numbers": repeating_integers(6, 10, 1, 12)}, lambda numbers: sorted(Counter(numbers)),
        ["Give the distinct values of $numbers, sorted.", "Sort $numbers and drop the repeats.",
         "List each number of $numbers once, in increasing order.",
         "Which different numbers are in $numbers? Sorted list please."],
        ["I will use a set and sort it."], ["numbers = $numbers\nprint(sorted(set(numbers)))"]),
    Family(
        "reverse_list", {"numbers": integers(4, 8, 1, 99)},
        lambda numbers: [numbers[-i - 1] for i in range(len(numbers))],
        ["Reverse the list $numbers.", "Give $numbers in opposite order.",
         "List the elements of $numbers from last to first.", "Turn the list $numbers around."],
        ["I will reverse the list."], ["numbers = $numbers\nprint(numbers[::-1])"],
        slips=slips(("numbers = $numbers\nprint(numbers.reversed())",
                     "A list has no method `reversed`. I will use a slice."))),
    Family(
        "running_total", {"numbers": integers(3, 6, 1, 30)}, _sums,
        ["Give the running totals of $numbers as a list.", "Compute the cumulative sums of $numbers.",
         "For $numbers, list the sum after each element.",
         "I save $numbers coins day by day. List how much I have after each day."],
        ["I will add the numbers one by one."],
        ["numbers = $numbers\ntotal = 0\nsums = []\nfor n in numbers:\n    total += n\n    sums.append(total)\nprint(sums)"],
        slips=slips(("numbers = $numbers\nsums = []\nfor n in numbers:\n    total += n\n    sums.append(total)\nprint(sums)", "The name `total` has no start value. I will set it to 0."))),
    Family(
        "find_index", _with_member, lambda numbers, item: {n: i for i, n in enumerate(numbers)}[item],
        ["At which index (from 0) is $item in $numbers?", "Find the zero-based position of $item in $numbers.",
         "What is the index of $item in the list $numbers?",
         "Where is $item in $numbers, counting from 0?"],
        ["I will look up the index."], ["numbers = $numbers\nprint(numbers.index($item))"],
        slips=slips(("numbers = $numbers\nprint(numbers.find($item))",
                     "A list has no method `find`. I will use `index`."))),
    Family(
        "count_item", _with_repeat, lambda numbers, item: len([n for n in numbers if n == item]),
        ["How many times is $item in $numbers?", "Count the number $item in $numbers.",
         "How often does $item occur in the list $numbers?", "Dice rolls: $numbers. How many rolls were $item?"],
        ["I will count the item in the list."], ["numbers = $numbers\nprint(numbers.count($item))"],
        held=["My shoes sold in sizes $numbers. How many pairs of size $item went out?"]),
    Family(
        "first_items", _with_count, lambda numbers, k: [n for i, n in enumerate(numbers) if i < k],
        ["Give the first $k elements of $numbers.", "Take the first $k numbers of $numbers as a list.",
         "What are the first $k items in $numbers?", "Cut $numbers after $k elements."],
        ["I will take a slice from the start."], ["numbers = $numbers\nprint(numbers[:$k])"]),
    Family(
        "last_items", _with_count, lambda numbers, k: [n for i, n in enumerate(numbers) if i >= len(numbers) - k],
        ["Give the last $k elements of $numbers.", "Take the last $k numbers of $numbers as a list.",
         "What are the final $k items in $numbers?"],
        ["I will take a slice from the end."], ["numbers = $numbers\nprint(numbers[-$k:])"]),
    Family(
        "every_second", {"numbers": integers(5, 9, 1, 99)}, lambda numbers: [n for i,
                                                                             n in enumerate(numbers) if i % 2 == 0],
        ["Take every second element of $numbers, starting with the first.",
         "Give the items at even indexes of $numbers.", "Skip every other number of $numbers, keep the first."],
        ["I will slice with step 2."], ["numbers = $numbers\nprint(numbers[::2])"]),
    Family(
        "item_at", _with_place, lambda items, n: list(items[n:])[0],
        ["Which element is at index $n of $items, counting from 0?",
         "Give the item with index $n (zero-based) in $items.",
         "In $items, what is at position $n if the first is 0?"],
        ["I will take the item at that index."], ["items = $items\nprint(items[$n])"]),
    Family(
        "flatten", _nested, lambda rows: sum(rows, []),
        ["Flatten the list $rows.", "Make one flat list from $rows.", "Join the inner lists of $rows into one list.",
         "Remove the inner brackets of $rows."],
        ["I will collect the numbers of all rows."], ["rows = $rows\nprint([n for row in rows for n in row])"],
        slips=slips(("rows = $rows\nprint(rows.flatten())",
                     "A list has no method `flatten`. I will loop over the rows."))),
    Family(
        "nested_sum", _nested, lambda rows: sum(sum(rows, [])),
        ["What is the sum of all numbers in $rows?", "Add every number inside the nested list $rows.",
         "Total of all rows together: $rows"],
        ["I will add the sums of the rows."], ["rows = $rows\nprint(sum(sum(row) for row in rows))"],
        slips=slips(("rows = $rows\nprint(sum(rows))",
                     "The rows are lists and cannot be added to a number. I will sum each row."))),
    Family(
        "common_items", _two_lists, lambda a, b: sorted(n for n in a if n in b),
        ["Which numbers are in both $a and $b? Give a sorted list.", "Find the common elements of $a and $b, sorted.",
         "Intersect the lists $a and $b and sort the result.",
         "What do the lists $a and $b share? Sorted list."],
        ["I will intersect two sets and sort."], ["a = $a\nb = $b\nprint(sorted(set(a) & set(b)))"],
        held=["Anna likes the numbers $a, Ben likes $b. Which do both like? Give a sorted list."],
        slips=slips(("a = $a\nb = $b\nprint(sorted(a & b))",
                     "Lists cannot be intersected with `&`. I will make sets."))),
    Family(
        "merge_lists", _two_lists, lambda a, b: sorted(Counter(a + b)),
        ["Merge $a and $b into one sorted list without repeats.", "Give the union of $a and $b, sorted.",
         "All numbers that are in $a or $b, each once, sorted?"],
        ["I will unite two sets and sort."], ["a = $a\nb = $b\nprint(sorted(set(a) | set(b)))"]),
    Family(
        "missing_items", _two_lists, lambda a, b: sorted(n for n in a if n not in b),
        ["Which numbers of $a are not in $b? Give a sorted list.",
         "Remove the numbers $b from $a and sort what is left.", "Set difference: $a minus $b, sorted."],
        ["I will subtract the sets and sort."], ["a = $a\nb = $b\nprint(sorted(set(a) - set(b)))"],
        slips=slips(("a = $a\nb = $b\nprint(sorted(a - b))", "Lists cannot be subtracted. I will make sets."))),
    Family(
        "dot_product", _pairs, lambda a, b: sum(a[i] * b[i] for i in range(len(a))),
        ["What is the dot product of $a and $b?", "Multiply $a and $b element by element and add the results.",
         "Scalar product of $a and $b?",
         "Prices $a, amounts $b: what is the whole bill?"],
        ["I will multiply the pairs and add."], ["a = $a\nb = $b\nprint(sum(x * y for x, y in zip(a, b)))"],
        slips=slips(("a = $a\nb = $b\nprint(sum(a * b))", "Two lists cannot be multiplied. I will use `zip`."))),
    Family(
        "add_lists", _pairs, lambda a, b: [a[i] + b[i] for i in range(len(a))],
        ["Add the lists $a and $b element by element.", "Give the pairwise sums of $a and $b.",
         "Vector sum of $a and $b as a list?"],
        ["I will add the pairs."], ["a = $a\nb = $b\nprint([x + y for x, y in zip(a, b)])"]),
    Family(
        "multiply_each", {"numbers": integers(3, 7, 1, 40), "k": integer(2, 12)},
        lambda numbers, k: [k * n for n in numbers],
        ["Multiply every number of $numbers by $k.", "Give $numbers with each element times $k.",
         "Scale the list $numbers by $k.", "Each of $numbers is multiplied by $k. Show the new list."],
        ["I will multiply each number."], ["numbers = $numbers\nprint([n * $k for n in numbers])"],
        held=["For one cake I need $numbers grams. List what I need for $k cakes."]),
    Family(
        "add_to_each", {"numbers": integers(3, 7, 1, 60), "k": integer(2, 50)},
        lambda numbers, k: [k + n for n in numbers],
        ["Add $k to every number of $numbers.", "Increase each element of $numbers by $k.",
         "Each player in $numbers gets $k more points. Show the new list."],
        ["I will add to each number."], ["numbers = $numbers\nprint([n + $k for n in numbers])"],
        slips=slips(("numbers = $numbers\nprint(numbers + $k)",
                     "A number cannot be added to a list. I will loop over the list."))),
    Family(
        "is_sorted", lambda rng: (lambda ns: {"numbers": sorted(ns) if rng.random() < 0.5 else ns})(integers(4, 7, 1,
                                                                                                             99)(rng)), lambda numbers: all(numbers[i] <= numbers[i + 1] for i in range(len(numbers) - 1)),
        ["Is the list $numbers sorted in ascending order? True or False.",
         "Check if $numbers is in increasing order (True or False).", "True or False: $numbers is sorted."],
        ["I will compare the list with its sorted copy."], ["numbers = $numbers\nprint(numbers == sorted(numbers))"]),
    Family(
        "words_longer", {"words": words(4, 6), "n": choice([4, 5, 6])},
        lambda words, n: sum(1 for w in words if len(w) > n),
        ["How many of the words $words have more than $n letters?", "Count the words longer than $n letters: $words",
         "In $words, how many words are longer than $n characters?"],
        ["I will count the long words."], ["words = $words\nprint(len([w for w in words if len(w) > $n]))"]),
]
