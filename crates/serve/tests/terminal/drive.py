"""Runs a program on a pseudo-terminal and types into it.

usage: drive.py PROGRAM ARGUMENT..., with a JSON list of steps on stdin:

    {"expect": TEXT}   wait until the terminal shows it, behind what earlier steps waited for
    {"type": TEXT}     type it

Prints {"shown": all that was shown, "status": the exit status}, or fails with what was waited for.
"""
import json
import os
import pty
import select
import sys
import time

SECONDS_MAX = 120


class Driver:
    def __init__(self, command):
        self.child, self.terminal = pty.fork()
        if self.child == 0:
            os.execv(command[0], command)
        self.shown, self.seen, self.is_open = b"", 0, True

    def read(self, deadline):
        """More of what is shown; false at the end."""
        ready, _, _ = select.select([self.terminal], [], [], max(0, deadline - time.monotonic()))
        if not ready:
            sys.exit(f"nothing more after {SECONDS_MAX} s; shown:\n{self.shown[self.seen:].decode('utf-8', 'replace')}")
        try:
            data = os.read(self.terminal, 65536)
        except OSError:     # the other end is closed
            data = b""
        self.shown += data
        self.is_open = bool(data)
        return self.is_open

    def expect(self, text):
        deadline = time.monotonic() + SECONDS_MAX
        wanted = text.encode()
        while (found := self.shown.find(wanted, self.seen)) < 0:
            if not self.read(deadline):
                sys.exit(f"ended before {text!r}; shown:\n{self.shown[self.seen:].decode('utf-8', 'replace')}")
        self.seen = found + len(wanted)

    def finish(self):
        deadline = time.monotonic() + SECONDS_MAX
        while self.is_open:
            self.read(deadline)
        return os.waitstatus_to_exitcode(os.waitpid(self.child, 0)[1])


driver = Driver(sys.argv[1:])
for step in json.load(sys.stdin):
    if "expect" in step:
        driver.expect(step["expect"])
    else:
        os.write(driver.terminal, step["type"].encode())
status = driver.finish()
print(json.dumps({"shown": driver.shown.decode("utf-8", "replace"), "status": status}))
