# case: 82
# title: connect to every port of the host's loopback
# layer: network
# expect: held
# doctor: yes
# seconds: 20
import errno
import socket

REFUSALS = (errno.ENETUNREACH, errno.EACCES, errno.EPERM, errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


def attack():
    seen = set()
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        for port in range(1, 65_536):
            try:
                with socket.socket(family, socket.SOCK_STREAM) as client:
                    client.connect((address, port))
            except OSError as error:
                # Nobody listens on a loopback of its own.
                if error.errno not in REFUSALS + (errno.ECONNREFUSED,):
                    raise
                seen.add(errno.errorcode[error.errno])
                if error.errno in REFUSALS:
                    break  # The same for every port.
            else:
                return f"escaped: connected to port {port} of {address}"
    return f"held: {sorted(seen)}"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
