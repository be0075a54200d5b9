# case: 53
# title: leave by every exception that is no Exception
# layer: none
# expect: held
# doctor: no
# seconds: 5
marker_053 = [7]
# --- next cell
import sys

sys.exit(3)
# --- next cell
raise SystemExit("text as status")
# --- next cell
raise GeneratorExit
# --- next cell
raise KeyboardInterrupt
# --- next cell
raise BaseException("bare")
# --- next cell
raise StopIteration(1)
# --- next cell
class Own(BaseException):
    pass


raise Own
# --- next cell
def attack():
    if marker_053 != [7]:
        return f"escaped: the state became {marker_053}"
    return "held: the state outlived seven exits"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
