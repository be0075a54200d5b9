# case: 41
# title: find descriptors that were left open
# layer: none
# expect: held
# doctor: yes
# seconds: 5
import fcntl
import os
import socket
import stat


def kind(file):
    """What is wrong with an open descriptor, None if nothing is."""
    mode = os.fstat(file).st_mode
    access = fcntl.fcntl(file, fcntl.F_GETFL) & os.O_ACCMODE
    if stat.S_ISSOCK(mode):
        with socket.socket(fileno=os.dup(file)) as copy:
            if copy.family != socket.AF_UNIX:
                return "a socket of the network"
            if copy.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                return "a listening socket"
        return None
    if stat.S_ISFIFO(mode):
        return None if access == os.O_WRONLY else "a pipe that can be read"
    if stat.S_ISCHR(mode) and os.fstat(file).st_rdev in (os.makedev(1, minor) for minor in (3, 5, 8, 9)):
        return None
    return f"a file of type {stat.S_IFMT(mode):o} and device {os.fstat(file).st_dev}"


def attack():
    sockets, found = 0, []
    for file in range(65_536):
        try:
            mode = os.fstat(file).st_mode
        except OSError:
            continue
        wrong = kind(file)
        if wrong:
            return f"escaped: descriptor {file} is {wrong}"
        found.append(file)
        sockets += stat.S_ISSOCK(mode)
    if sockets > 1:
        return f"escaped: {sockets} sockets among {found}"
    return f"held: the descriptors {found}, of which {sockets} is a socket"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
