# case: 62
# title: use what the runner leaves in the main module and in the list of modules
# layer: none
# expect: held
# doctor: no
# seconds: 5
import sys


def attack():
    for name, module in list(sys.modules.items()):
        names = getattr(module, "__dict__", ())
        words = [word for word in names if "nonce" in word.lower() or "checkpoint" in word.lower()]
        if words and not getattr(module, "__spec__", None):
            return f"escaped: {name} has {words}"
    if not isinstance(sys.modules.get("__main__"), type(sys)):
        return "escaped: there is no main module"
    if vars(sys.modules["__main__"]) is not globals():
        return "escaped: the main module is not the one of the cells"
    return "held: no module of the runner, and the main module is the one of the cells"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
