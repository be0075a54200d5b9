# case: 74
# title: take the builtins away
# layer: none
# expect: held
# doctor: no
# seconds: 10
import builtins

saved_builtins = dict(vars(builtins))
module_of_builtins = builtins
steps = [1]
print = None
# --- next cell
steps.append(2)
del __builtins__
# --- next cell
steps.append(3)
for name in ("compile", "exec", "eval", "repr", "len", "str", "bytes", "isinstance", "min", "type", "open", "print",
             "dict", "list", "getattr", "hasattr", "Exception", "BaseException", "KeyboardInterrupt", "OSError",
             "range", "globals", "int"):
    module_of_builtins.__dict__[name] = None
# --- next cell
steps.append(4)
1 / 0
# --- next cell
steps.append(5)
module_of_builtins.__dict__.clear()
# --- next cell
steps.append(6)
# --- next cell
module_of_builtins.__dict__.update(saved_builtins)
__builtins__ = module_of_builtins
print = saved_builtins["print"]
# --- next cell
def attack():
    if steps != [1, 2, 3, 4, 5, 6]:
        return f"escaped: of six steps remain {steps}"
    return "held: the runner needs none of the cell's builtins"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
