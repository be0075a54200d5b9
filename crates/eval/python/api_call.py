"""The request of an API that the dialogue asks for. Requests are taken apart as texts; nothing is called."""
import re

PARAMETER = re.compile(r"(\w+)\s*=\s*(?:'(.*?)'|\"(.*?)\"|([^'\"].*?)|)\s*(?=,\s*\w+\s*=|$)", re.DOTALL)


def taken(request):
    """The name, and the parameters as texts, of `[Name(key='value', ..)]`, with or without the brackets around it."""
    found = re.search(r"(\w+)\((.*)\)", request[:20_000], re.DOTALL)
    assert found, "the solution is no request of the form [ApiName(key1='value1', ..)]"
    values = {}
    for key, single, double, bare in PARAMETER.findall(found.group(2).strip()):
        values[key] = (single or double or bare).strip()
    return found.group(1), values


def test_the_request():
    assert solution is not None, "there is no <solution>"
    (name, values), (right_name, right) = taken(solution), taken(RIGHT)
    assert name == right_name, f"{name} is requested, and {right_name} is right"
    assert values == right, f"the parameters are {values}, and {right} are right"


