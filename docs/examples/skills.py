"""Functions for `codeact-eval skills docs/examples/skills.py --store DIR`: what each gives here becomes its tests."""
from datetime import date, timedelta


def count_odd(numbers):
    """How many of the numbers are odd."""
    return sum(number % 2 for number in numbers)


def last_elements(items, count):
    """The last `count` elements of a list, in their order."""
    return items[-count:]


def squares(numbers):
    """The square of each number, as a list."""
    return [number ** 2 for number in numbers]


def without_spaces(text):
    """The text with all spaces removed."""
    return text.replace(" ", "")


def initials(text):
    """The first letters of the words of a text, joined."""
    return "".join(word[0] for word in text.split())


def to_octal(number):
    """A number in the octal system, without 0o."""
    return oct(number)[2:]


def days_before(day, days):
    """The date so many days before `day`, both as YYYY-MM-DD."""
    return str(date.fromisoformat(day) - timedelta(days=days))


def box_volume(length, width, height):
    """The volume of a box: the product of its edges."""
    return length * width * height


if __name__ == "__main__":
    count_odd([1, 2, 3])
    last_elements([1, 2, 3], 2)
    squares([1, 2, 3])
    without_spaces("a b c")
    initials("green tall tree")
    to_octal(8)
    days_before("2024-03-01", 1)
    box_volume(2, 3, 4)
