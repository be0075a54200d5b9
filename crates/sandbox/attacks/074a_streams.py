# case: 74
# title: close, replace and delete the standard streams
# layer: none
# expect: held
# doctor: yes
# seconds: 10
import io
import os
import sys

steps = [1]
sys.stdout.close()
# --- next cell
steps.append(2)
sys.stderr.close()
sys.stdin.close()
# --- next cell
steps.append(3)
os.close(1)
os.close(2)
os.close(0)
# --- next cell
steps.append(4)
os.dup2(os.open("/dev/null", os.O_WRONLY), 1)
# --- next cell
steps.append(5)
sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__ = io.StringIO(), None, None, 7
# --- next cell
steps.append(6)
sys.stdout.reconfigure(encoding="ascii", errors="strict")
del sys.stdout, sys.stderr, sys.stdin
# --- next cell
steps.append(7)
sys.stdout.detach()
# --- next cell
class Loud:
    def write(self, text):
        raise SystemExit("raised by a stream")

    flush = close = fileno = write


steps.append(8)
sys.stdout = sys.stderr = Loud()
# --- next cell
def attack():
    if steps != [1, 2, 3, 4, 5, 6, 7, 8]:
        return f"escaped: of eight steps remain {steps}"
    return "held: the streams are back, eight times"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
