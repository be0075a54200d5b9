# case: 44
# title: become another user through programs with the set-user-id bit
# layer: privileges
# expect: held
# doctor: no
# seconds: 10
import ctypes
import os
import stat
import subprocess

PR_GET_NO_NEW_PRIVS = 39
COMMANDS = [["su", "-c", "id -u"], ["sudo", "-n", "id", "-u"], ["pkexec", "id", "-u"], ["passwd", "-S", "root"],
            ["mount", "-t", "tmpfs", "none", "/tmp"]]


def attack():
    if ctypes.CDLL(None).prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1:
        return "escaped: new privileges are allowed"
    tried = []
    for command in COMMANDS:
        program = os.path.join("/usr/bin", command[0])
        if not (os.path.exists(program) and os.stat(program).st_mode & stat.S_ISUID):
            continue
        tried.append(command[0])
        run = subprocess.run([program, *command[1:]], stdin=subprocess.DEVNULL, capture_output=True, timeout=5)
        if run.returncode == 0 or run.stdout.strip() == b"0":
            return f"escaped: {command} succeeded with {run.stdout!r}"
    return f"held: no new privileges, and {tried or 'no such program'} gave nothing"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
