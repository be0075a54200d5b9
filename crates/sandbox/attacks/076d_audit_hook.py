# case: 76
# title: an audit hook that refuses the next actions of the runner
# layer: none
# expect: held
# doctor: no
# seconds: 10
import sys

refusals = []


def refuse(event, arguments):
    if len(refusals) < 3 and event in ("compile", "exec", "sys._getframe", "os.fork", "object.__getattr__"):
        refusals.append(event)
        raise SystemExit("raised by an audit hook")


marker_076 = "from the first cell"
sys.addaudithook(refuse)
# --- next cell
1
# --- next cell
2
# --- next cell
3
# --- next cell
4
# --- next cell
5
# --- next cell
def attack():
    if globals().get("marker_076") != "from the first cell":
        return "escaped: the state of the first cell is lost"
    return f"held: the runner works after {len(refusals)} refusals"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
