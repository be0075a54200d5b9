"""Families about dictionaries, matrices, sets of words and truth values."""

from collections import Counter

from .family import Family, Verbatim, slips
from .pools import ITEMS, NAMES, WORDS, counts, words


def _scores(rng):
    names = rng.sample(NAMES, rng.randint(3, 5))
    return {"data": dict(zip(names, rng.sample(range(10, 100), len(names))))}


def _lookup(rng):
    data = counts(ITEMS, 3, 5, 1, 90)(rng)
    return {"data": data, "key": rng.choice(list(data))}


def _absent(rng):
    data = counts(ITEMS[:10], 3, 4, 1, 90)(rng)
    return {"data": data, "key": rng.choice(ITEMS[10:])}


def _threshold(rng):
    return _scores(rng) | {"limit": rng.randint(30, 80)}


def _frequency(rng):
    pool = rng.sample(WORDS, 3)
    chosen = [pool[0]] * rng.randint(3, 4) + [pool[1]] * rng.randint(1, 2) + [pool[2]]
    rng.shuffle(chosen)
    return {"words": chosen}


def _matrix(rng):
    size = rng.choice([2, 3])
    return {"m": [[rng.randint(1, 20) for _ in range(size)] for _ in range(size)]}


def _matrix_row(rng):
    values = _matrix(rng)
    return values | {"k": rng.randint(1, len(values["m"]))}


def _two_matrices(rng):
    return {name: [[rng.randint(1, 12) for _ in range(2)] for _ in range(2)] for name in "ab"}


def _logic(rng):
    shapes = ["{a} and {b}", "{a} or {b}", "not {a}", "{a} and not {b}", "({a} or {b}) and {c}", "not ({a} and {b})",
              "not {a} or {b}"]
    return {"expression": Verbatim(rng.choice(shapes).format(**{key: rng.random() < 0.5 for key in "abc"}))}


def _compare(rng):
    a, b, c, d = (rng.randint(2, 60) for _ in range(4))
    return {"expression": Verbatim(rng.choice([f"{a} * {b} > {c} * {d}", f"{a} + {b} == {c} + {d}",
                                               f"{a} + {b} < {c * 2}", f"{a * b} >= {c * d}"]))}


FAMILIES = [
    Family(
        "sum_of_dictionary", {"data": counts(ITEMS, 3, 5, 1, 90)}, lambda data: sum(data[key] for key in data),
        ["What is the sum of the values in $data?", "Stock: $data. How many things in total?",
         "Add up all values of the dictionary $data.", "The shelf holds $data. How many pieces are there together?"],
        ["I will add the values."], ["data = $data\nprint(sum(data.values()))"],
        held=["Each entry of $data is a count. Tell me the grand total."],
        slips=slips(("data = $data\nprint(sum(data))", "The keys are text. I will add the values."))),
    Family(
        "dictionary_lookup", _lookup, lambda data, key: data.get(key),
        ["What is the value of $key in $data?", "Stock: $data. How many $key are there?",
         "Look up $key in the dictionary $data.", "From $data give the entry for $key."],
        ["I will look up the key."], ["data = $data\nprint(data[$key])"],
        slips=slips(("data = $data\nprint(data($key))", "A dictionary is not called. I will use square brackets."))),
    Family(
        "absent_key", _absent, lambda data, key: dict(data).setdefault(key, 0),
        ["Stock: $data. How many $key are there? A missing entry counts as 0.",
         "Look up $key in $data, 0 if it is missing.", "What is the count of $key in $data, or 0 if there is none?"],
        ["I will look up the key."], ["data = $data\nprint(data.get($key, 0))"],
        slips=slips(("data = $data\nprint(data[$key])", "The key is missing. I will use `get` with 0.")),
        always_slips=True),
    Family(
        "lowest_key", _scores, lambda data: sorted(data, key=lambda k: data[k])[0],
        ["Who has the lowest score in $data?", "Scores: $data. Which name comes last?",
         "Find the key with the smallest value in $data.", "Race times: $data. Who was the fastest?"],
        ["I will take the key with the smallest value."], ["data = $data\nprint(min(data, key=data.get))"]),
    Family(
        "highest_value", _scores, lambda data: sorted(data.values())[-1],
        ["What is the highest value in $data?", "Scores: $data. How many points has the best?",
         "Give the maximum of the values of $data."],
        ["I will take the maximum of the values."], ["data = $data\nprint(max(data.values()))"],
        slips=slips(("data = $data\nprint(data.max())",
                     "A dictionary has no method `max`. I will use the function on the values."))),
    Family(
        "dictionary_mean", _scores, lambda data: round(sum(data.values()) / len(data), 2),
        ["What is the average of the values in $data, to 2 decimals?",
         "Scores: $data. Give the mean score with 2 decimals.", "Mean of the values of $data, 2 decimals?"],
        ["I will divide the sum of the values by their count."],
        ["data = $data\nprint(round(sum(data.values()) / len(data), 2))"]),
    Family(
        "names_above", _threshold, lambda data, limit: sorted(k for k, v in data.items() if v > limit),
        ["Who has more than $limit points in $data? Give a sorted list.",
         "Scores: $data. List the names above $limit in alphabetical order.",
         "Which keys of $data have a value over $limit? Sorted list."],
        ["I will keep the names above the limit and sort."],
        ["data = $data\nprint(sorted(k for k, v in data.items() if v > $limit))"]),
    Family(
        "sort_by_value", _scores, lambda data: sorted(data, key=lambda k: -data[k]),
        ["List the names in $data from highest to lowest value.", "Rank the players by points, best first: $data",
         "Sort the keys of $data by value in descending order."],
        ["I will sort the keys by value in reverse."],
        ["data = $data\nprint(sorted(data, key=data.get, reverse=True))"]),
    Family(
        "dictionary_keys", {"data": counts(ITEMS, 3, 5, 1, 90)}, lambda data: sorted(data),
        ["List the keys of $data in alphabetical order.",
         "Which things are in the stock $data? Sorted list of names.", "Sort the names in $data and list them."],
        ["I will sort the keys."], ["data = $data\nprint(sorted(data))"]),
    Family(
        "update_entry", lambda rng: _lookup(rng) | {"n": rng.randint(1, 30)}, lambda data, key, n: data[key] + n,
        ["Stock: $data. Then $n more $key arrive. How many $key are there now?",
         "Add $n to the entry $key of $data and give the new value.",
         "In $data, raise $key by $n. What is $key now?"],
        ["I will update the entry."], ["data = $data\ndata[$key] += $n\nprint(data[$key])"]),
    Family(
        "most_common_word", _frequency, lambda words: Counter(words).most_common(1)[0][0],
        ["Which word occurs most often in $words?", "Find the most common word of $words.", "Votes: $words. Who won?",
         "What is the most frequent item in $words?"],
        ["I will take the word with the highest count."], ["words = $words\nprint(max(words, key=words.count))"]),
    Family(
        "word_counts", _frequency, lambda words: dict(Counter(words)),
        ["Count each word of $words in a dictionary.", "Make a dictionary with the counts of $words.",
         "How often does each item occur in $words? Give a dictionary."],
        ["I will count the words in a dictionary."],
        ["words = $words\ncounts = {}\nfor w in words:\n    counts[w] = counts.get(w, 0) + 1\nprint(counts)"],
        slips=slips(("words = $words\ncounts = {}\nfor w in words:\n    counts[w] += 1\nprint(counts)",
                     "The key does not exist at first. I will use `get` with 0."))),
    Family(
        "length_dictionary", {"words": words(2, 4)}, lambda words: {w: sum(1 for _ in w) for w in words},
        ["Map each word of $words to its length in a dictionary.",
         "Make a dictionary from word to number of letters for $words.",
         "Give a dictionary with the length of each word: $words"],
        ["I will build a dictionary of lengths."], ["words = $words\nprint({w: len(w) for w in words})"]),
    Family(
        "zip_dictionary", lambda rng: (lambda n: {"keys": rng.sample(WORDS, n), "numbers": [rng.randint(1,
                                                                                                        50) for _ in range(n)]})(rng.randint(2, 4)), lambda keys, numbers: {k: numbers[i] for i, k in enumerate(keys)},
        ["Make a dictionary from the keys $keys and the values $numbers.",
         "Pair $keys with $numbers in a dictionary.", "Zip $keys and $numbers into a dictionary."],
        ["I will zip the two lists."], ["keys = $keys\nvalues = $numbers\nprint(dict(zip(keys, values)))"]),
    Family(
        "matrix_transpose", _matrix, lambda m: [[row[i] for row in m] for i in range(len(m))],
        ["Transpose the matrix $m.", "Swap rows and columns of $m.", "What is the transpose of $m?"],
        ["I will turn the columns into rows."], ["m = $m\nprint([list(c) for c in zip(*m)])"],
        slips=slips(("m = $m\nprint(m.T)", "A list has no attribute `T`. I will use `zip`."))),
    Family(
        "matrix_trace", _matrix, lambda m: sum(row[i] for i, row in enumerate(m)),
        ["What is the trace of the matrix $m?", "Add the main diagonal of $m.",
         "Sum of the diagonal elements of $m?"],
        ["I will add the diagonal."], ["m = $m\nprint(sum(m[i][i] for i in range(len(m))))"],
        slips=slips(("m = $m\nprint(sum(m[i][i] for i in range(len(m) + 1)))",
                     "The index is out of range. I will stop at the size."))),
    Family(
        "matrix_row_sum", _matrix_row, lambda m, k: sum(m[k - 1]),
        ["What is the sum of row $k of the matrix $m (first row is 1)?", "Add the numbers in row number $k of $m.",
         "Total of row $k in $m, rows counted from 1?"],
        ["I will add the numbers of the row."], ["m = $m\nprint(sum(m[$k - 1]))"]),
    Family(
        "matrix_column_sum", _matrix_row, lambda m, k: sum(row[k - 1] for row in m),
        ["What is the sum of column $k of the matrix $m (first column is 1)?",
         "Add the numbers in column number $k of $m.", "Total of column $k in $m, counted from 1?"],
        ["I will add one number of each row."], ["m = $m\nprint(sum(row[$k - 1] for row in m))"]),
    Family(
        "determinant", _two_matrices, lambda a: a[0][0] * a[1][1] - a[1][0] * a[0][1],
        ["What is the determinant of $a?", "Compute det($a).", "Find the determinant of the 2x2 matrix $a."],
        ["I will multiply the diagonals and subtract."], ["m = $a\nprint(m[0][0] * m[1][1] - m[0][1] * m[1][0])"]),
    Family(
        "truth_value", _logic, lambda expression: eval(expression),
        ["What is the value of $expression?", "Is `$expression` True or False?", "Evaluate the logic: $expression",
         "True or False: $expression?"],
        ["I will evaluate the expression."], ["print($expression)"]),
    Family(
        "comparison", _compare, lambda expression: eval(expression),
        ["Is $expression? True or False.", "Check: $expression (True or False)",
         "Does $expression hold? Answer True or False."],
        ["I will evaluate the comparison."], ["print($expression)"]),
    Family(
        "between", lambda rng: (lambda a: {"a": a, "b": a + rng.randint(3, 60), "n": rng.randint(1,
                                                                                                 130)})(rng.randint(1,
                                                                                                                    60)), lambda a, b, n: n in range(a, b + 1),
        ["Is $n between $a and $b (both included)? True or False.",
         "Does $n lie in the range $a to $b? Answer True or False.", "True or False: $a <= $n <= $b."],
        ["I will compare with both limits."], ["print($a <= $n <= $b)"],
        held=["A ride is for ages $a to $b. May someone aged $n go? True or False."]),
    Family(
        "all_positive", {"numbers": lambda rng: [rng.randint(-3, 40) for _ in range(rng.randint(3, 6))]},
        lambda numbers: min(numbers) > 0,
        ["Are all numbers in $numbers positive? True or False.",
         "Check if every element of $numbers is greater than 0.",
         "True or False: $numbers has only positive numbers."],
        ["I will check all the numbers."], ["numbers = $numbers\nprint(all(n > 0 for n in numbers))"]),
]
