# case: 12
# title: hoard kernel memory in the buffers of sockets
# layer: memory
# expect: held|ends
# doctor: no
# seconds: 10
import errno
import socket

SO_SNDBUFFORCE = 32
TOTAL_MAX = 1 << 30


def fill(sender):
    sender.setblocking(False)
    total = 0
    try:
        while True:
            total += sender.send(bytes(1 << 16))
    except BlockingIOError:
        return total


def attack():
    pairs, total, refusal = [], 0, None
    try:
        while total <= TOTAL_MAX:
            pairs += socket.socketpair()
            try:
                pairs[-1].setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 64 << 20)
                return "escaped: a socket with a buffer of 64 MiB"
            except PermissionError:
                pass
            pairs[-1].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 << 20)
            total += fill(pairs[-1])
    except OSError as error:
        if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS):
            raise
        refusal = errno.errorcode[error.errno]
    finally:
        for end in pairs:
            end.close()
    if refusal is None:
        return f"escaped: {total >> 20} MiB in sockets"
    return f"held: {refusal} with {total >> 20} MiB in {len(pairs) // 2} pairs of sockets"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
