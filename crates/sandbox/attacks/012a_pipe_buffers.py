# case: 12
# title: hoard kernel memory in the buffers of pipes
# layer: none
# expect: held|ends
# doctor: no
# seconds: 10
import errno
import fcntl
import os

F_SETPIPE_SZ = 1031
TOTAL_MAX = 1 << 30


def fill(writer):
    os.set_blocking(writer, False)
    total = 0
    try:
        while True:
            total += os.write(writer, bytes(1 << 16))
    except BlockingIOError:
        return total


def attack():
    ends, total, refusal = [], 0, None
    try:
        while total <= TOTAL_MAX:
            ends += os.pipe()
            try:
                fcntl.fcntl(ends[-1], F_SETPIPE_SZ, 64 << 20)
                return "escaped: a pipe with a buffer of 64 MiB"
            except PermissionError:
                pass
            try:
                fcntl.fcntl(ends[-1], F_SETPIPE_SZ, 1 << 20)
            except PermissionError:
                pass
            total += fill(ends[-1])
    except OSError as error:
        if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
            raise
        refusal = errno.errorcode[error.errno]
    finally:
        for end in ends:
            os.close(end)
    if refusal is None:
        return f"escaped: {total >> 20} MiB in pipes"
    return f"held: {refusal} with {total >> 20} MiB in {len(ends) // 2} pipes"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
