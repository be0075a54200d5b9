# case: 18
# title: compile sources that are nested deeper than the stack
# layer: none
# expect: held|ends
# doctor: no
# seconds: 20
import ast
import json

SOURCES = ["(" * 100_000, "-" * 100_000 + "1", "[" * 100_000 + "]" * 100_000, "x" + ".x" * 100_000,
           "1" + "+1" * 100_000, "lambda:" * 100_000 + "1", "f" + "(f" * 100_000 + ")" * 100_000,
           "not " * 100_000 + "1", "x" + "[0]" * 100_000]
LIMITS = (RecursionError, MemoryError, SyntaxError, ValueError)


def attack():
    refused = 0
    for source in SOURCES:
        for reader in (lambda text: compile(text, "<attack>", "eval"), ast.literal_eval, json.loads):
            try:
                reader(source)
            except LIMITS:
                refused += 1
    return f"held: {refused} of {3 * len(SOURCES)} were refused, none crashed"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
