# case: 81
# title: send raw packets and pings, and use other transports
# layer: network
# expect: held
# doctor: no
# seconds: 5
import errno
import socket

REFUSALS = (errno.ENETUNREACH, errno.EACCES, errno.EPERM, errno.EAFNOSUPPORT)
STREAM, DATAGRAM, RAW, DCCP = socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, 6
ICMP, ICMP6 = 1, 58
# Kind of socket and number of protocol: any, ICMP, TCP; pings; SCTP, multipath TCP, UDP-Lite, DCCP.
TRANSPORTS = [(RAW, 255), (RAW, ICMP), (RAW, 6), (DATAGRAM, ICMP), (DATAGRAM, ICMP6), (STREAM, 132), (STREAM, 262),
              (DATAGRAM, 136), (DCCP, 33)]


def attack():
    tried = 0
    for family, address in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        for kind, protocol in TRANSPORTS:
            tried += 1
            try:
                with socket.socket(family, kind, protocol) as client:
                    client.settimeout(1)
                    client.connect((address, 7))
                    client.send(bytes(64))
            except OSError as error:
                # Some kernels lack a transport, which is found out after the filter had its say.
                if error.errno not in REFUSALS + (errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT):
                    return f"escaped: kind {kind} of protocol {protocol} gave {error}"
            else:
                return f"escaped: kind {kind} of protocol {protocol} reached {address}"
    return f"held: {tried} transports were refused"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
