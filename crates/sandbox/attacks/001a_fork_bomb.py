# case: 1
# title: fork until the kernel refuses
# layer: processes
# expect: held
# doctor: yes
# seconds: 10
import os
import signal

CHILDREN_MAX = 2000


def attack():
    children = []
    try:
        while len(children) < CHILDREN_MAX:
            child = os.fork()
            if child == 0:
                while True:
                    signal.pause()
            children.append(child)
    except BlockingIOError:
        return f"held: fork was refused with EAGAIN after {len(children)} children"
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
        for child in children:
            os.waitpid(child, 0)
    return f"escaped: {CHILDREN_MAX} children"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
