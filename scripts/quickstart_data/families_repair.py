"""Families in which the user hands over code that fails: run it, read the error, repair it."""

from .family import Family, Verbatim, slips
from .pools import ITEMS, NAMES, WORDS, integers

_ASK = ["Run this code and fix the error:\n$broken", "This fails, please repair it and give the output:\n$broken", "Debug this and tell me what it prints:\n$broken",
        "My code does not work:\n$broken\nWhat should it print?", "Fix and run:\n$broken"]


def _bug(name, draw, repair, held=()):
    """A family from `draw(rng) -> (broken code, fixed code, answer)`."""

    def given(rng):
        broken, fixed, answer = draw(rng)
        return {"broken": Verbatim(broken), "fixed": Verbatim(fixed), "result": answer}

    return Family(name, given, lambda result: result, _ASK, ["I will run the code."], ["$fixed"], held=held,
                  slips=slips(("$broken", repair)), always_slips=True)


def _missing_import(rng):
    n = rng.randint(4, 30) ** 2
    k = rng.randint(5, 12)
    line, answer = rng.choice([(f"print(math.isqrt({n}))", int(n ** 0.5)), (f"print(math.factorial({k}))", __import__("math").prod(range(1, k + 1))),
                               (f"print(math.floor({n / 7:.3f}))", int(float(f"{n / 7:.3f}")))])
    return line, "import math\n" + line, answer


def _text_plus_number(rng):
    name, n = rng.choice(ITEMS), rng.randint(2, 99)
    return f"n = {n}\nprint(\"{name}: \" + n)", f"n = {n}\nprint(\"{name}: \" + str(n))", f"{name}: {n}"


def _number_as_text(rng):
    a, b = rng.randint(10, 99), rng.randint(10, 99)
    return f"a = \"{a}\"\nb = {b}\nprint(a + b)", f"a = \"{a}\"\nb = {b}\nprint(int(a) + b)", a + b


def _missing_colon(rng):
    n, k = rng.randint(3, 9), rng.randint(2, 9)
    return (f"s = 0\nfor i in range({n})\n    s += i * {k}\nprint(s)", f"s = 0\nfor i in range({n}):\n    s += i * {k}\nprint(s)", k * n * (n - 1) // 2)


def _open_bracket(rng):
    numbers = integers(3, 5, 1, 50)(rng)
    return f"numbers = {numbers}\nprint(sum(numbers)", f"numbers = {numbers}\nprint(sum(numbers))", sum(numbers)


def _index_out_of_range(rng):
    names = rng.sample(NAMES, rng.randint(3, 5))
    listed = "[" + ", ".join(f'"{n}"' for n in names) + "]"
    return f"names = {listed}\nprint(names[{len(names)}])", f"names = {listed}\nprint(names[-1])", names[-1]


def _wrong_method(rng):
    word = rng.choice(WORDS)
    wrong, right, answer = rng.choice([("toUpperCase()", "upper()", word.upper()), ("capitalise()", "capitalize()", word[0].upper() + word[1:]), ("trim()", "strip()", word)])
    return f"w = \"{word}\"\nprint(w.{wrong})", f"w = \"{word}\"\nprint(w.{right})", answer


def _misspelled_name(rng):
    numbers = integers(3, 5, 1, 60)(rng)
    right, answer = rng.choice([("max", max(numbers)), ("min", min(numbers)), ("len", len(numbers))])
    wrong = rng.choice(["nubmers", "number", "numbrs"])
    return f"numbers = {numbers}\nprint({right}({wrong}))", f"numbers = {numbers}\nprint({right}(numbers))", answer


def _list_append(rng):
    numbers, n = integers(3, 5, 1, 60)(rng), rng.randint(1, 60)
    return f"numbers = {numbers}\nnumbers.add({n})\nprint(numbers)", f"numbers = {numbers}\nnumbers.append({n})\nprint(numbers)", numbers + [n]


def _zero_division(rng):
    a, b = rng.randint(20, 99), rng.randint(2, 9)
    return (f"def part(a, b):\n    return a / b\nprint(part({a}, {b} - {b}))", f"def part(a, b):\n    return a / b if b else 0\nprint(part({a}, {b} - {b}))", 0)


FAMILIES = [
    _bug("fix_import", _missing_import, "The module `math` is not imported. I will import it.", held=["Why does this crash? Make it run and report its output:\n$broken"]),
    _bug("fix_text_plus_number", _text_plus_number, "Text and number cannot be added. I will use `str`.", held=["Python complains about this, please help:\n$broken"]),
    _bug("fix_number_as_text", _number_as_text, "One value is text. I will convert it with `int`."),
    _bug("fix_colon", _missing_colon, "The colon after the loop is missing. I will add it."),
    _bug("fix_bracket", _open_bracket, "A parenthesis is not closed. I will close it."),
    _bug("fix_index", _index_out_of_range, "The index is too large. I will take the last item with -1."),
    _bug("fix_method", _wrong_method, "The method has another name in Python. I will use the right one."),
    _bug("fix_name", _misspelled_name, "The name is misspelled. It is `numbers`.", held=["There is a typo somewhere here. Find out what the code should print:\n$broken"]),
    _bug("fix_append", _list_append, "A list has no method `add`. I will use `append`."),
    _bug("fix_zero_division", _zero_division, "The divisor is zero. I will return 0 in that case."),
]
