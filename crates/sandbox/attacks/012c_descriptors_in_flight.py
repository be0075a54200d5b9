# case: 12, 11
# title: hold open files inside of socket messages, past the limit of open files
# layer: none
# expect: held|ends
# doctor: no
# seconds: 10
import array
import errno
import os
import socket

FILES_MAX = 50_000
REFUSALS = (errno.ETOOMANYREFS, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM)


def attack():
    file = os.open("/dev/null", os.O_RDONLY)
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [file] * 250))]
    pairs, flying, refusal = [], 0, None
    try:
        while flying < FILES_MAX:
            pairs += socket.socketpair()
            pairs[-1].setblocking(False)
            try:
                while flying < FILES_MAX:
                    pairs[-1].sendmsg([b"x"], rights)
                    flying += 250
            except BlockingIOError:
                pass  # This socket is full; the next one is not.
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        refusal = errno.errorcode[error.errno]
    finally:
        os.close(file)
        for end in pairs:
            end.close()
    if refusal is None:
        return f"escaped: {flying} open files in flight"
    return f"held: {refusal} with {flying} open files in flight"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
