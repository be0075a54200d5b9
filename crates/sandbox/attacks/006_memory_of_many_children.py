# case: 6
# title: touch 8 GiB divided over children, which a limit per process does not count
# layer: memory
# expect: held|ends
# doctor: no
# seconds: 30
import os
import select
import signal
import struct

CHILDREN_MAX = 40
TOTAL = 8 << 30
STEP = 8 << 20


def live(orders, reports):
    size = struct.unpack("Q", os.read(orders, 8))[0]
    blocks = []
    try:
        while len(blocks) * STEP < size:
            blocks.append(b"x" * STEP)
    except MemoryError:
        os.write(reports, b"-")
        os._exit(0)
    os.write(reports, b"+")
    while True:
        signal.pause()


def attack():
    orders, order = os.pipe()
    reports, report = os.pipe()
    children = []
    try:
        while len(children) < CHILDREN_MAX:
            child = os.fork()
            if child == 0:
                try:
                    os.close(reports)
                    live(orders, report)
                finally:
                    os._exit(1)
            children.append(child)
    except BlockingIOError:
        pass  # A smaller limit of processes: fewer children take more each.
    try:
        os.close(report)
        for _ in children:
            os.write(order, struct.pack("Q", TOTAL // len(children)))
        grown, each = 0, TOTAL // len(children) >> 20
        while grown < len(children):
            finished, status = os.waitpid(-1, os.WNOHANG)
            if finished:
                children.remove(finished)
                if os.waitstatus_to_exitcode(status) not in (0, -signal.SIGKILL):
                    return f"escaped: attack code failed: a child ended with status {status}"
                return f"held: a child was refused or killed when {grown} others had {each} MiB each"
            if select.select([reports], [], [], 0.05)[0] and os.read(reports, 1) == b"+":
                grown += 1
        return f"escaped: {grown} children hold 8 GiB"
    finally:
        for end in (orders, order, reports):
            os.close(end)
        for child in children:
            os.kill(child, signal.SIGKILL)
        for child in children:
            os.waitpid(child, 0)


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
