# case: 46
# title: let the kernel signal the parent when a socket becomes readable
# layer: signals
# expect: held
# doctor: no
# seconds: 5
import errno
import fcntl
import os
import signal
import socket
import time

F_SETSIG, O_ASYNC = 10, 0o20000


def attack():
    parent = os.getppid()
    for target in {1, parent} - {0}:
        for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGINT):
            one, other = socket.socketpair()
            with one, other:
                try:
                    fcntl.fcntl(one, fcntl.F_SETOWN, target)
                    fcntl.fcntl(one, F_SETSIG, int(number))
                    fcntl.fcntl(one, fcntl.F_SETFL, O_ASYNC | os.O_NONBLOCK)
                except OSError as error:
                    if error.errno not in (errno.EPERM, errno.ESRCH):
                        raise
                    continue
                other.send(b"x")
        time.sleep(0.05)
        if os.getppid() != parent:
            return f"escaped: the parent {parent} is gone"
    return "held: the parent lives"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
