# case: 27
# title: find keys of the server in the environment it started with
# layer: none
# expect: held
# doctor: yes
# seconds: 5
import errno
import os

NAMES = ("CARGO", "RUST", "SSH_", "AWS_", "HF_", "SUDO_", "XDG_", "DBUS", "DISPLAY", "KUBERNETES", "CODEACT", "LD_")
WORDS = ("KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL", "PROXY")


def attack():
    found = {os.fsencode(name) + b"=" + os.fsencode(value) for name, value in os.environ.items()}
    try:
        # What the process was started with stays on its stack, whatever os.environ says now.
        with open("/proc/self/environ", "rb") as file:
            found |= set(file.read().split(b"\0"))
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.ENOENT):
            raise
    names = [entry.split(b"=")[0].decode(errors="replace").upper() for entry in found]
    # The one word that the sandbox itself has for its cells.
    allowed = {b"CODEACT_NETWORK=none": "CODEACT_NETWORK"}
    known = [allowed[entry] for entry in found if entry in allowed]
    leaked = [name for name in names if name.startswith(NAMES) or any(word in name for word in WORDS)]
    leaked = [name for name in leaked if name not in known]
    if leaked:
        return f"escaped: {sorted(leaked)}"
    return f"held: {sorted(filter(None, names))}"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
