# case: 18
# title: the text of a list that is nested 300,000 deep
# layer: none
# expect: held|ends
# doctor: no
# seconds: 10
import sys


def attack():
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10**9)
    nested = []
    for _ in range(300_000):
        nested = [nested]
    try:
        return f"held: a text of {len(repr(nested))} characters"
    except (RecursionError, MemoryError) as error:
        return f"held: {type(error).__name__}"
    finally:
        sys.setrecursionlimit(limit)


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
