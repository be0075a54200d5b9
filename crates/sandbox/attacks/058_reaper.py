# case: 58, 3
# title: become the reaper of orphans, drop the death signal, and die
# layer: pids
# expect: held
# doctor: no
# seconds: 10
import ctypes
import os

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
libc = ctypes.CDLL(None)
libc.prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0)
libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        libc.prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0)
        os.execvp("sleep", ["sleep", "4058"])
    os._exit(0)
os.wait()
os._exit(0)
# --- next cell
import os
import signal


def attack():
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                if file.read() != b"sleep\x004058\0":
                    continue
            with open(f"/proc/{name}/status") as file:
                parented = "\nPPid:\t1\n" in file.read()
        except (FileNotFoundError, ProcessLookupError):
            continue
        os.kill(int(name), signal.SIGKILL)
        if not parented:
            return "escaped: the orphan is no child of PID 1"
        return "held: the orphan became a child of PID 1"
    return "held: the orphan died with the interpreter"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
