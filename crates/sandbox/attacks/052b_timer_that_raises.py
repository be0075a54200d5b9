# case: 52
# title: a timer whose handler raises goes off inside of the runner
# layer: none
# expect: held
# doctor: no
# seconds: 5
import signal


def fire(*_):
    raise ZeroDivisionError("raised by a timer")


marker_052 = "from the first cell"
signal.signal(signal.SIGALRM, fire)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
# --- next cell
import signal
# --- next cell
import signal

signal.setitimer(signal.ITIMER_REAL, 0)
signal.signal(signal.SIGALRM, signal.SIG_IGN)
# --- next cell
import signal


def attack():
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    if globals().get("marker_052") != "from the first cell":
        return "escaped: the state of the first cell is lost"
    return "held: the state of the first cell is there"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
