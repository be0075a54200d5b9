# case: 17
# title: recursion through native frames without the interpreter's limit
# layer: none
# expect: held|ends
# doctor: no
# seconds: 20
import sys


class Falling:
    def __getattr__(self, name):
        return getattr(self, name)

    def __eq__(self, other):
        return [self] == [Falling()]


def attack():
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10**9)
    try:
        Falling() == Falling()
    except (RecursionError, MemoryError) as error:
        return f"held: {type(error).__name__}"
    finally:
        sys.setrecursionlimit(limit)
    return "escaped: the recursion ended"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
