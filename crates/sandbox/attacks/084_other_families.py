# case: 84
# title: open sockets of every other family
# layer: network
# expect: held
# doctor: yes
# seconds: 5
import errno
import socket

UNIX, INET, INET6 = 1, 2, 10
KINDS = (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET)
REFUSALS = (errno.EAFNOSUPPORT, errno.EPERM, errno.EACCES)


def attack():
    tried = 0
    for family in set(range(64)) - {0, UNIX, INET, INET6}:
        for kind in KINDS:
            for protocol in (0, 3, 15):
                tried += 1
                try:
                    socket.socket(family, kind, protocol).close()
                except OSError as error:
                    if error.errno not in REFUSALS:
                        return f"escaped: family {family}, kind {kind} gave {error}"
                else:
                    return f"escaped: family {family}, kind {kind} is open"
                try:
                    socket.socketpair(family, kind, protocol)
                except OSError as error:
                    if error.errno not in REFUSALS:
                        return f"escaped: a pair of family {family}, kind {kind} gave {error}"
                else:
                    return f"escaped: a pair of family {family}, kind {kind} is open"
    return f"held: {tried} kinds of sockets were refused"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
