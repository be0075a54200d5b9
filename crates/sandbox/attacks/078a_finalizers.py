# case: 78
# title: finalizers that raise, print and exit inside of the runner
# layer: none
# expect: held
# doctor: no
# seconds: 10
import gc
import sys

steps = [1]


class Loud:
    def __init__(self):
        self.me = self

    def __del__(self):
        steps.append("finalized")
        sys.stdout.write("late\n")
        raise SystemExit("raised by a finalizer")


garbage_thresholds = gc.get_threshold()
gc.set_threshold(1)
for _ in range(100):
    Loud()
# --- next cell
for _ in range(100):
    Loud()
"a value"
# --- next cell
1 / 0
# --- next cell
def attack():
    gc.set_threshold(*garbage_thresholds)
    gc.collect()
    if steps[0] != 1 or steps.count("finalized") != 200:
        return f"escaped: {steps.count('finalized')} of 200 finalizers ran"
    return "held: 200 finalizers left the runner alone"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
