"""The other executors of bench/sandbox.py, each as a class with the same methods: an IPython kernel in a process of its
own, spoken to through jupyter_client, and smolagents' interpreter inside the process of its host."""

import subprocess
import threading
import time
from pathlib import Path

IMPORTS = ["numpy", "pandas", "matplotlib.pyplot"]
SECONDS_MAX = 120


class Kernel:
    name = "ipykernel"

    def __init__(self, imports):
        from jupyter_client.manager import KernelManager

        self.manager = KernelManager()
        self.manager.start_kernel(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=SECONDS_MAX)
        if imports:
            self.run("\n".join(f"import {name}" for name in imports))

    def run(self, code):
        """Until the answer is there, and all that was printed."""
        request = self.client.execute(code)
        is_mine = lambda message: message["parent_header"].get("msg_id") == request
        while True:
            message = self.client.get_iopub_msg(timeout=SECONDS_MAX)
            if is_mine(message) and message["msg_type"] == "error":
                raise RuntimeError("\n".join(message["content"]["traceback"]))
            if is_mine(message) and message["content"].get("execution_state") == "idle":
                break
        while not is_mine(self.client.get_shell_msg(timeout=SECONDS_MAX)):
            pass

    def memory(self):
        """Bytes of its process, shared pages divided by who shares them."""
        text = Path(f"/proc/{self.manager.provisioner.pid}/smaps_rollup").read_text()
        return next(int(line.split()[1]) << 10 for line in text.splitlines() if line.startswith("Pss:"))

    def close(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


class Interpreter:
    name = "smolagents"

    def __init__(self, imports):
        from smolagents import LocalPythonExecutor

        self.executor = LocalPythonExecutor(imports + ["sys"])
        self.executor.send_tools({})
        if imports:
            self.run("\n".join(f"import {name}" for name in imports))

    def run(self, code):
        self.executor(code)

    def memory(self):
        return None

    def close(self):
        pass


def milliseconds(began):
    return (time.perf_counter() - began) * 1e3


def timed(session, code):
    began = time.perf_counter()
    session.run(code)
    return milliseconds(began)


def starts(kind, imports, count):
    times = []
    for _ in range(count):
        began = time.perf_counter()
        session = kind(imports)
        times.append(milliseconds(began))
        session.close()
    return times


def cells(session, count, pause):
    times = []
    for index in range(count + 10):
        time.sleep(pause)
        times.append(timed(session, ""))
    return times[10:]


def parallel(kind, code, session_count, cell_count):
    """Cells per second of several sessions, each driven by a thread."""
    sessions = [kind([]) for _ in range(session_count)]
    try:
        [session.run(code) for session in sessions]
        drive = lambda session: [session.run(code) for _ in range(cell_count)]
        threads = [threading.Thread(target=drive, args=(session,)) for session in sessions]
        began = time.perf_counter()
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        return session_count * cell_count / (time.perf_counter() - began)
    finally:
        [session.close() for session in sessions]


def output(session, lines_bytes, count):
    """Megabytes per second of lines of 100 bytes."""
    code = f"lines = ('x' * 99 + '\\n') * {lines_bytes // 100}\nfor _ in range({count}):\n    print(lines, end='')"
    began = time.perf_counter()
    session.run(code)
    return lines_bytes * count / 1e6 / (time.perf_counter() - began)
