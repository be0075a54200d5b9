# case: 81
# title: connect to the network by TCP and UDP
# layer: network
# expect: held
# doctor: yes
# seconds: 10
import errno
import socket

# Addresses for documentation: where the network is open the attempt times out, which is no refusal.
ADDRESSES = [(socket.AF_INET, ("192.0.2.1", 80)), (socket.AF_INET, ("198.51.100.1", 53)),
             (socket.AF_INET6, ("2001:db8::1", 443))]
KINDS = {"TCP": socket.SOCK_STREAM, "UDP": socket.SOCK_DGRAM}
REFUSALS = (errno.ENETUNREACH, errno.EACCES, errno.EPERM, errno.EAFNOSUPPORT)


def attack():
    seen = set()
    for family, address in ADDRESSES:
        for name, kind in KINDS.items():
            try:
                with socket.socket(family, kind) as client:
                    client.settimeout(1)
                    client.connect(address)
                    client.send(b"x")
            except OSError as error:
                if error.errno not in REFUSALS:
                    return f"escaped: {name} to {address[0]} gave {error}"
                seen.add(errno.errorcode[error.errno])
            else:
                return f"escaped: {name} reached {address[0]}"
    return f"held: {sorted(seen)}"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
