"""The request of an API that the dialogue asks for. Requests are taken apart as texts; nothing is called."""
import ast
import re

CHARS_MAX = 20_000
TRUTHS = {True: object(), False: object()}
REQUEST = re.compile(r"(?:API-Request:\s*)?\[?\s*(\w+)\((.*)\)\s*\]?", re.DOTALL)
PARAMETER = re.compile(
    r"(\w+)\s*=\s*(?:'(.*?)'|\"(.*?)\"|([^'\",].*?)|)\s*(?=,\s*\w+\s*=|,?\s*\Z)(?:,\s*)?", re.DOTALL)


def taken(request):
    """The name, and the parameters as texts, of `[Name(key='value', ..)]`, with or without the brackets around it."""
    found = REQUEST.fullmatch(request.strip()) if len(request) <= CHARS_MAX else None
    assert found, "the solution is no request of the form [ApiName(key1='value1', ..)] and nothing else"
    values, inside, at = {}, found[2].strip(), 0
    while at < len(inside):
        parameter = PARAMETER.match(inside, at)
        assert parameter, f"there is no key='value' at {inside[at:at + 40]!r}"
        key, single, double, bare = parameter.groups()
        assert key not in values, f"the parameter {key} is there twice"
        values[key] = (single or double or bare or "").strip()
        at = parameter.end()
    return found[1], values


def value_of(text):
    """The list, dictionary, number or truth value that a text is as a literal of Python, or else the text."""
    try:
        value = ast.literal_eval(text)
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return text
    return value if type(value) in (list, dict, int, float, bool) else text


def marked(value):
    """The value with truth values that are equal to no number, however deep they lie."""
    if isinstance(value, bool):
        return TRUTHS[value]
    if isinstance(value, dict):
        return {marked(key): marked(item) for key, item in value.items()}
    return type(value)(map(marked, value)) if isinstance(value, (list, tuple, set)) else value


def test_the_request():
    assert solution is not None, "there is no <solution>"
    # However it is written.
    if solution.strip() == RIGHT:
        return
    (name, values), (right_name, right) = taken(solution), taken(RIGHT)
    assert name == right_name, f"{name} is requested, and {right_name} is right"
    same = values.keys() == right.keys() and all(
        marked(value_of(values[key])) == marked(value_of(right[key])) for key in right)
    assert same, f"the parameters are {values}, and {right} are right"


