# case: 46
# title: signal PID 1 and the parent
# layer: signals
# expect: held
# doctor: yes
# seconds: 5
import errno
import os
import signal


def attack():
    tried = 0
    for pid in {1, os.getppid()} - {0}:
        for number in (0, signal.SIGTERM, signal.SIGINT, signal.SIGSTOP, signal.SIGKILL, signal.SIGUSR1):
            tried += 1
            try:
                os.kill(pid, number)
            except OSError as error:
                if error.errno != errno.EPERM:
                    raise
            else:
                return f"escaped: signal {int(number)} to {pid} was allowed"
    return f"held: {tried} signals gave EPERM"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
