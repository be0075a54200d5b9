# case: 59
# title: orphans that die faster than anybody looks
# layer: pids
# expect: held
# doctor: no
# seconds: 20
import os
import time

ORPHANS = 400


def zombies():
    found = 0
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as file:
                found += file.read().rsplit(")", 1)[1].split()[0] == "Z"
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


def attack():
    for index in range(ORPHANS):
        for _ in range(200):
            try:
                child = os.fork()
                break
            except BlockingIOError:
                time.sleep(0.01)  # PID 1 is still at the ones before.
        else:
            return f"escaped: {index} orphans fill the limit of processes, {zombies()} are zombies"
        if child == 0:
            try:
                if os.fork() == 0:
                    os._exit(0)
            finally:
                os._exit(0)
        os.waitpid(child, 0)
    for _ in range(200):
        left = zombies()
        if left == 0:
            return f"held: PID 1 reaped {ORPHANS} orphans"
        time.sleep(0.01)
    return f"escaped: {left} zombies"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
