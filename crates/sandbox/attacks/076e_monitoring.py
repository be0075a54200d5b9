# case: 76
# title: monitoring callbacks that raise inside of the runner
# layer: none
# expect: held
# doctor: no
# seconds: 10
import sys

steps, called = [1], []


def broken(*arguments):
    if len(called) < 3:
        called.append(arguments[0])
        raise SystemExit("raised by a callback")


if hasattr(sys, "monitoring"):
    events = sys.monitoring.events
    sys.monitoring.use_tool_id(3, "attack")
    for event in (events.PY_START, events.CALL, events.PY_RETURN):
        sys.monitoring.register_callback(3, event, broken)
    sys.monitoring.set_events(3, events.PY_START | events.CALL | events.PY_RETURN)
# --- next cell
steps.append(2)
# --- next cell
steps.append(3)
# --- next cell
steps.append(4)
# --- next cell
def attack():
    if not hasattr(sys, "monitoring"):
        return "skipped: this Python has no monitoring"
    sys.monitoring.set_events(3, 0)
    sys.monitoring.free_tool_id(3)
    if 1 not in steps:
        return f"escaped: of the steps remain {steps}"
    return "held: the runner outlives the callbacks"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
