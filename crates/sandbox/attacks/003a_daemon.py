# case: 3
# title: a daemon that ignores signals stays below the session's PID 1
# layer: pids
# expect: held
# doctor: no
# seconds: 10
import os
import signal
import time

reader, writer = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        os.write(writer, str(os.getpid()).encode())
        while True:
            signal.pause()
    os._exit(0)
os.wait()
daemon = int(os.read(reader, 20))
os.close(reader)
os.close(writer)
# --- next cell
import os
import signal
import time


def read(path):
    with open(path) as file:
        return file.read()


def attack():
    folder = f"/proc/{daemon}"
    if not os.path.exists(folder):
        return "held: the daemon did not outlive its cell"
    try:
        status = read(f"{folder}/status")
        same_cgroup = read(f"{folder}/cgroup") == read("/proc/self/cgroup")
    finally:
        os.kill(daemon, signal.SIGKILL)
    if "\nPPid:\t1\n" not in status:
        return "escaped: the daemon is no child of PID 1"
    if not same_cgroup:
        return "escaped: the daemon left the control group"
    for _ in range(100):
        if not os.path.exists(folder):
            return "held: the daemon became a child of PID 1 in the same control group, and was reaped by it"
        time.sleep(0.02)
    return "escaped: PID 1 did not reap the daemon"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
