# case: 76
# title: trace and profile functions that raise inside of the runner
# layer: none
# expect: held
# doctor: no
# seconds: 10
import sys
import threading

steps = [1]


def hook(frame, event, argument):
    raise SystemExit("raised by a hook")


threading.settrace(hook)
threading.setprofile(hook)
sys.settrace(hook)
# --- next cell
steps.append(2)
sys.setprofile(hook)
# --- next cell
sys.settrace(None)
# --- next cell
sys.setprofile(None)
threading.settrace(None)
threading.setprofile(None)
# --- next cell
def attack():
    # A hook may hurt the second cell, which is the user's own, but not the runner.
    if steps not in ([1], [1, 2]):
        return f"escaped: of two steps remain {steps}"
    return "held: the hooks did not reach the runner"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
