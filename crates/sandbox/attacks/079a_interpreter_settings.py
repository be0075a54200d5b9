# case: 79
# title: turn every knob of the interpreter
# layer: none
# expect: held
# doctor: no
# seconds: 10
import decimal
import faulthandler
import gc
import locale
import os
import random
import signal
import sys
import threading
import warnings

steps = [1]
locale.setlocale(locale.LC_ALL, "C")
gc.disable()
gc.freeze()
gc.set_threshold(0)
sys.setswitchinterval(100)
sys.dont_write_bytecode = False
path_079 = list(sys.path)
sys.path[:] = []
sys.argv[:] = []
warnings.simplefilter("error")
decimal.getcontext().prec = 1
random.seed(0)
threading.stack_size(64 << 10)
os.umask(0o777)
signal.set_wakeup_fd(-1)
faulthandler.disable()
sys.tracebacklimit = 0
if hasattr(sys, "set_int_max_str_digits"):
    sys.set_int_max_str_digits(640)
# --- next cell
steps.append(2)
1 / 0
# --- next cell
steps.append(3)
steps is 3  # A warning of the compiler, which is an error now.
# --- next cell
home_079 = os.getcwd()
os.mkdir("attack-079")
os.chmod("attack-079", 0o700)
os.chdir("attack-079")
os.rmdir("../attack-079")
steps.append(4)
# --- next cell
os.environ.clear()
steps.append(5)
# --- next cell
def attack():
    os.chdir(home_079)
    gc.enable()
    gc.set_threshold(700, 10, 10)
    gc.unfreeze()
    sys.setswitchinterval(0.005)
    os.umask(0o077)
    warnings.resetwarnings()
    sys.path[:] = path_079
    sys.tracebacklimit = 1000
    if steps not in ([1, 2, 3, 4, 5], [1, 2, 4, 5]):
        return f"escaped: of five steps remain {steps}"
    return "held: no knob of the interpreter reached the runner"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
