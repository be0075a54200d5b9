# case: 68
# title: values and errors that cannot be encoded
# layer: none
# expect: held
# doctor: no
# seconds: 5
steps = []


class Surrogate:
    def __repr__(self):
        return "\ud800\udfff\0"


steps.append("value")
Surrogate()
# --- next cell
steps.append("print")
print("\ud800")
# --- next cell
steps.append("error")
raise ValueError("\udcff\0\x1b[2J")
# --- next cell
steps.append("name of an error")
Unnamed = type("Unnamed", (Exception,), {"__module__": "\udc80\0", "__qualname__": "\udc80\0"})
raise Unnamed("text")
# --- next cell
def attack():
    if steps != ["value", "print", "error", "name of an error"]:
        return f"escaped: of four steps remain {steps}"
    return "held: four texts that cannot be encoded left the state alone"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
