# case: 36
# title: see the processes of the host
# layer: pids
# expect: held
# doctor: no
# seconds: 5
import os

PROCESSES_MAX = 200


def attack():
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as file:
                    parents[int(name)] = int(file.read().rsplit(")", 1)[1].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                pass  # It ended meanwhile.
    # The session's PID 1 belongs to another user, and may be hidden.
    if os.getpid() not in parents or parents.get(1, 0) != 0:
        return f"escaped: it does not see itself below a PID 1 of the session in {parents}"
    if parents.get(2) == 0:
        return "escaped: the kernel's threads are visible"
    if len(parents) > PROCESSES_MAX:
        return f"escaped: {len(parents)} processes are visible"
    foreign = [pid for pid, parent in parents.items() if pid != 1 and parent == 0]
    if foreign:
        return f"escaped: {foreign} have parents outside"
    return f"held: only the session's own {len(parents)} processes"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
