# case: 17
# title: recursion without the interpreter's limit
# layer: none
# expect: held|ends
# doctor: no
# seconds: 20
import sys


def fall(depth):
    return fall(depth + 1) + 1


def attack():
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10**9)
    try:
        fall(0)
    except (RecursionError, MemoryError) as error:
        return f"held: {type(error).__name__}"
    except SystemError as error:
        # Some versions of Python lose the MemoryError on the way.
        if "without exception set" not in str(error):
            raise
        return f"held: {error}"
    finally:
        sys.setrecursionlimit(limit)
    return "escaped: the recursion ended"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
