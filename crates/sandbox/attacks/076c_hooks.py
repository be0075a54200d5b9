# case: 76
# title: replace every hook of the interpreter
# layer: none
# expect: held
# doctor: no
# seconds: 10
import sys

steps = [1]
names = ("displayhook", "excepthook", "unraisablehook", "breakpointhook", "__displayhook__", "__excepthook__", "ps1")
real_hooks = {name: getattr(sys, name) for name in names if hasattr(sys, name)}


def broken(*arguments):
    raise SystemExit("raised by a hook")


for name in real_hooks:
    setattr(sys, name, broken)
sys.path_hooks.insert(0, broken)
sys.meta_path.insert(0, broken)
# --- next cell
steps.append(2)
"a value"
# --- next cell
steps.append(3)
1 / 0
# --- next cell
sys.path_hooks.remove(broken)
sys.meta_path.remove(broken)
for name, hook in real_hooks.items():
    setattr(sys, name, hook)
# --- next cell
def attack():
    if steps != [1, 2, 3]:
        return f"escaped: of three steps remain {steps}"
    return "held: the runner uses no hook of the interpreter"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
