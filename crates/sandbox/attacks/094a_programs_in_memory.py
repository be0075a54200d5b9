# case: 94
# title: run a program that no file system holds
# layer: pids
# expect: held
# doctor: no
# seconds: 10
import errno
import os
import subprocess

WANTED = {"NoNewPrivs": "1", "Seccomp": "2", "CapEff": "0" * 16, "CapPrm": "0" * 16, "CapAmb": "0" * 16}
REFUSALS = (errno.EPERM, errno.EACCES, errno.ENOSYS)


def attack():
    try:
        program = os.memfd_create("attack", 0)
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        return f"held: no memory file, {errno.errorcode[error.errno]}"
    try:
        with open("/bin/cat", "rb") as source:
            os.write(program, source.read())
        command = ["cat", "/proc/self/status"]
        run = subprocess.run(command, executable=f"/proc/self/fd/{program}", pass_fds=[program], capture_output=True,
                             text=True, timeout=5)
    except PermissionError:
        return "held: a memory file cannot be run"
    finally:
        os.close(program)
    fields = dict(line.split(":\t", 1) for line in run.stdout.splitlines() if ":\t" in line)
    if not fields:
        return f"escaped: attack code failed: {run.stderr}"
    wrong = {name: fields.get(name) for name, value in WANTED.items() if fields.get(name) != value}
    if wrong:
        return f"escaped: the program runs with {wrong}"
    return "held: the program runs under the same filter, without capabilities"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
