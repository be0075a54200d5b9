# case: 3, 60
# title: a forked child runs on into the runner and must not answer for its parent
# layer: none
# expect: held
# doctor: no
# seconds: 10
import os

parent = os.getpid()
child = os.fork()
"the value of the cell"
# --- next cell
import os
import time


def attack():
    if os.getpid() != parent:
        return "escaped: the child of the last cell runs this one"
    for _ in range(100):
        if os.waitpid(child, os.WNOHANG)[0] == child:
            return "held: the child ended at the end of its cell"
        time.sleep(0.02)
    return "escaped: the child of the last cell still runs"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
