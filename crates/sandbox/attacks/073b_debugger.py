# case: 73
# title: stop in the debugger
# layer: none
# expect: held
# doctor: no
# seconds: 5
import bdb
import pdb


def stop():
    breakpoint()
    return "went on"


def inspect():
    pdb.Pdb().set_trace()
    return "went on"


def attack():
    for action in (stop, inspect):
        try:
            action()
        except (bdb.BdbQuit, SystemExit, EOFError):
            pass  # It quits where its input ends; 3.13 and later may also go on.
    return "held: the debugger did not wait"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
