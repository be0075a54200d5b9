# case: 81
# title: look names up
# layer: network
# expect: held
# doctor: no
# seconds: 10
import errno
import socket

REFUSALS = (errno.ENETUNREACH, errno.EACCES, errno.EPERM, errno.EAFNOSUPPORT)
LOOKUP = (socket.EAI_AGAIN, socket.EAI_NONAME, socket.EAI_FAIL, socket.EAI_SYSTEM, socket.EAI_FAMILY)


def attack():
    try:
        return f"escaped: the name has the address {socket.getaddrinfo('example.com', 80)[0][4]}"
    except socket.gaierror as error:
        if error.errno not in LOOKUP:
            raise
        seen = error.errno
    # A question by hand to where resolvers listen, for the address of example.com.
    question = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x07example\x03com\0\0\x01\0\x01"
    for server in ("127.0.0.53", "127.0.0.1", "192.0.2.53"):
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.settimeout(1)
                client.sendto(question, (server, 53))
                return f"escaped: {server} answered {client.recv(512)!r}"
        except OSError as error:
            # Refused by the empty loopback of its own, where there is one.
            if error.errno not in REFUSALS + (errno.ECONNREFUSED,) and not isinstance(error, TimeoutError):
                raise
            if isinstance(error, TimeoutError) and not server.startswith("127."):
                return f"escaped: a question left for {server}"
    return f"held: no name has an address (error {seen})"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
