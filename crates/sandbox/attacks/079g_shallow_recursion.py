# case: 79, 17
# title: lower the recursion limit to what the cell just uses
# layer: none
# expect: held
# doctor: no
# seconds: 5
import sys

depth_079 = sys.getrecursionlimit()
for limit in range(1, 1000):
    try:
        sys.setrecursionlimit(limit)
        break
    except RecursionError:
        continue
# --- next cell
1 / 0
# --- next cell
sys.setrecursionlimit(1000)
# --- next cell
def attack():
    sys.setrecursionlimit(depth_079)
    return "held: the runner does not depend on the recursion limit"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
