#!/usr/bin/env python3
"""Many agent sessions at once while the server, its Pythons and its readers are killed: whether a session is lost or
mixed up with another, whether limits hold, and whether memory stays flat.

usage: python bench/agent_load.py [--sessions 50] [--minutes 10] [--server-kills 6] [--worker-kills 20] [--seed 1]
                                  [--write] [--note TEXT]

Standard library only. Runs target/release/codeact-serve in front of a scripted model. Every session has canaries: words
that nobody else knows. A turn puts one into a variable and a file, or prints all that are there, in sandboxed Python. A
canary of another session in any event is what must not be; so is a turn that was accepted and is not there later, or an
event that is missing or doubled. Readers leave at random moments and come back with `Last-Event-ID`. The server is
killed with SIGKILL and started anew, Pythons are killed from outside. A session of 60 turns is looked through, deleted and
followed by another: the memory of conversations that only grow would hide that of a leak.

Prints one JSON object: turns by how they ended, sessions and events checked, foreign canaries, how often Python came
back and how often variables were lost with a killed Python, answers by status, memory of the server (anonymous) and of its
Pythons (PSS) over time. `--write` puts it into bench/results/<date>-agent-load-<machine>.md. Exit code: 0 nothing wrong, 1
something was."""

import argparse
import datetime
import http.client
import json
import os
import random
import re
import signal
import statistics
import sys
import threading
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from agent_server import KEY, Server  # noqa: E402
from load import REPOSITORY, commit, machine  # noqa: E402

CANARY = re.compile(r"zq[0-9a-f]{12}")
KEEP = (
    "<execute>\nkept = globals().get('kept', []) + ['{{1}}']\nopen('kept.txt', 'a').write('{{1}}\\n')\n"
    "print('KEPT', *kept)\n</execute>"
)
SHOW = "<execute>\nimport os\nprint('KEPT', *globals().get('kept', []))\nfiles = os.path.exists('kept.txt')\n</execute>"
SCENARIOS = [
    {"when": r"keep (zq[0-9a-f]{12})", "replies": ["I keep it.\n" + KEEP, "<solution>kept</solution>"]},
    {"when": r"show", "replies": [SHOW, "<solution>shown</solution>"]},
]
# Turns of a session.
TURNS_MAX = 60
# Memory that may be added between the first quarter and the last: the allocator's, not the sessions'.
GROWTH_MIB_MAX = 96
# In less time it is still filling.
MINUTES_FOR_GROWTH_MIN = 5


class Load:
    """What all clients share."""

    def __init__(self, options, server):
        self.options, self.server, self.lock = options, server, threading.Lock()
        self.owners, self.errors, self.foreign = {}, [], []
        self.ends, self.statuses, self.counts = Counter(), Counter(), Counter()
        self.memory = []
        self.end = time.monotonic() + options.minutes * 60
        self.start = time.monotonic()

    def fail(self, what):
        with self.lock:
            self.errors.append(what)

    def is_over(self):
        return time.monotonic() >= self.end


class Gone(Exception):
    """The server was killed meanwhile."""


class Client(threading.Thread):
    """One session, turn after turn."""

    def __init__(self, load, number):
        super().__init__(daemon=True)
        self.load, self.number = load, number
        self.random = random.Random(load.options.seed * 1009 + number)
        self.had_session = False
        self.begin()

    def begin(self):
        self.id, self.turns, self.kept = None, 0, []
        # The newest event that was seen.
        self.seen = 0
        # What the newest run of its cells came out with.
        self.differences = None
        # Whether its deletion was sent: that may have come true although the answer was lost with a killed server.
        self.is_leaving = False

    def ask(self, method, path, body=None, headers=()):
        host, port = self.load.server.url.removeprefix("http://").split(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=120)
        fields = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"} | dict(headers)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), fields)
            answer = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise Gone(str(error)) from error
        with self.load.lock:
            self.load.statuses[answer.status] += 1
        return connection, answer

    def whole(self, method, path, body=None):
        connection, answer = self.ask(method, path, body)
        try:
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise Gone(str(error)) from error
        finally:
            connection.close()
        if answer.status == 429:
            time.sleep(self.random.uniform(0.2, 1.0))
        return answer.status, json.loads(content) if content else None

    def run(self):
        while not self.load.is_over():
            try:
                if self.id is None:
                    status, session = self.whole("POST", "/v1/agent/sessions", {"title": f"client {self.number}"})
                    if status == 201:
                        self.id, self.had_session = session["id"], True
                    continue
                if self.turns >= TURNS_MAX:
                    self.retire()
                else:
                    self.turn()
            except Gone:
                time.sleep(0.2)

    def retire(self):
        """Looks through the session, and makes room for another."""
        try:
            verify(self.load, self)
        except (OSError, http.client.HTTPException) as error:
            raise Gone(str(error)) from error
        was_leaving, self.is_leaving = self.is_leaving, True
        status, _ = self.whole("DELETE", f"/v1/agent/sessions/{self.id}")
        if status == 204 or (status == 404 and was_leaving):
            self.begin()
        else:
            self.load.fail(f"session {self.id}: deleting it got {status}")

    def turn(self):
        canary = f"zq{self.random.getrandbits(48):012x}"
        is_keeping = self.random.random() < 0.6
        with self.load.lock:
            self.load.owners[canary] = self.number
        content = f"keep {canary}" if is_keeping else "show"
        status, begun = self.whole("POST", f"/v1/agent/sessions/{self.id}/messages", {"content": content})
        if status == 409:  # one that was accepted before a kill may still be running
            time.sleep(0.05)
            return
        if status != 202:
            if status != 429:
                self.load.fail(f"a message got {status}: {begun}")
            return
        if begun["turn"] <= self.turns:
            self.load.fail(f"session {self.id}: turn {begun['turn']} after {self.turns}")
        self.turns = begun["turn"]
        self.follow()

    def follow(self):
        """Reads to the end of the turn, leaving now and then; a killed server ends it too."""
        while not self.load.is_over():
            leaves = self.random.randint(1, 12) if self.random.random() < 0.3 else None
            path = f"/v1/agent/sessions/{self.id}/events"
            connection, answer = self.ask("GET", path, headers={"Last-Event-ID": str(self.seen)})
            try:
                for event in self.events(answer):
                    if event["type"] == "turn.end" and event["turn"] == self.turns:
                        with self.load.lock:
                            self.load.ends[event["end"]] += 1
                        return
                    leaves = leaves and leaves - 1
                    if leaves == 0:
                        self.load.counts["readers that left"] += 1
                        break
                else:
                    raise Gone("the stream ended")
            finally:
                connection.close()

    def events(self, answer):
        while True:
            try:
                line = answer.readline()
            except (OSError, http.client.HTTPException, ValueError):
                return
            if not line:
                return
            if line.startswith(b"data: "):
                event = json.loads(line[6:])
                self.check(event, line.decode())
                yield event

    def check(self, event, text):
        if event["id"] != self.seen + 1:
            self.load.fail(f"session {self.id}: event {event['id']} after {self.seen}")
        self.seen = event["id"]
        for found in CANARY.findall(text):
            if self.load.owners.get(found) != self.number:
                with self.load.lock:
                    self.load.foreign.append({"canary": found, "of": self.load.owners.get(found), "in": self.number})
        if event["type"] == "restored":
            self.load.counts["pythons that came back"] += 1
            self.differences = event["differences"]
            self.load.counts["of them with differences"] += bool(self.differences)
        if event["type"] == "exec.end":
            if event["state"] == "lost":
                self.load.counts["variables lost with a killed python"] += 1
                self.kept.clear()
            if event["end"] == "finished" and "KEPT" in event["observation"]:
                shown = CANARY.findall(event["observation"])
                missing = [canary for canary in self.kept if canary not in shown]
                if missing and "[" not in event["observation"]:
                    count = f"{len(missing)} of {len(self.kept)}"
                    told = f"when its cells were run again, differences were {self.differences}"
                    self.load.fail(f"session {self.id}: {count} variables are missing; {told}")
                self.kept = shown


def descendants(process_id):
    children = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, ValueError):
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, left = [], [process_id]
    while left:
        for child in children.get(left.pop(), []):
            found.append(child)
            left.append(child)
    return found


def kilobytes(path, field):
    try:
        line = next(line for line in Path(path).read_text().splitlines() if line.startswith(field))
        return int(line.split()[1])
    except (OSError, StopIteration, ValueError):
        return 0


def watch(load):
    """Samples memory, and looks at the limits."""
    draw = random.Random(load.options.seed)
    span = load.options.minutes * 60

    def moments(count):
        return sorted(draw.uniform(0.1, 0.9) * span for _ in range(count))

    servers, workers = moments(load.options.server_kills), moments(load.options.worker_kills)
    while not load.is_over():
        time.sleep(1.0)
        now = time.monotonic() - load.start
        process = load.server.process.pid
        below = descendants(process)
        pss = sum(kilobytes(f"/proc/{child}/smaps_rollup", "Pss:") for child in below)
        load.memory.append((now, kilobytes(f"/proc/{process}/status", "RssAnon:"), pss))
        status, text = load.server.ask("GET", "/metrics")
        pythons = float(re.search(r"^codeact_pythons (\S+)", text, re.M)[1]) if status == 200 else 0.0
        if pythons > load.options.pythons:
            load.fail(f"{pythons} Pythons where {load.options.pythons} may be")
        if workers and now >= workers[0] and below:
            workers.pop(0)
            try:
                # The youngest are interpreters; launcher and zygote are older.
                os.kill(draw.choice(sorted(below)[len(below) // 2 :]), signal.SIGKILL)
                load.counts["pythons killed"] += 1
            except OSError:
                pass
        if servers and now >= servers[0]:
            servers.pop(0)
            port = int(load.server.url.rsplit(":", 1)[1])
            load.server.kill()
            load.counts["servers killed"] += 1
            load.server.start(port)


def verify(load, client):
    """Everything that was accepted is there, whole and in its order."""
    if client.id is None:
        return
    status, session = load.server.ask("GET", f"/v1/agent/sessions/{client.id}")
    if status == 404 and client.is_leaving:
        return
    if status != 200:
        return load.fail(f"session {client.id} is lost: {status}")
    if len(session["turns"]) < client.turns - (session["state"] == "running"):
        load.fail(f"session {client.id}: {len(session['turns'])} turns of {client.turns}")
    _, text = load.server.ask("GET", f"/v1/agent/sessions/{client.id}/events?follow=false")
    events = [json.loads(line[6:]) for line in str(text).splitlines() if line.startswith("data: ")]
    if [event["id"] for event in events] != list(range(1, len(events) + 1)):
        load.fail(f"session {client.id}: events are missing")
    load.counts["events checked"] += len(events)
    load.counts["sessions checked"] += 1


def summary(load, clients):
    def quarter(index, column):
        span = load.options.minutes * 60 / 4
        chosen = [sample[column] / 1024 for sample in load.memory if index * span <= sample[0] < (index + 1) * span]
        return round(statistics.median(chosen), 1) if chosen else None

    rss = [quarter(index, 1) for index in range(4)]
    is_long = load.options.minutes >= MINUTES_FOR_GROWTH_MIN
    if is_long and rss[0] and rss[3] and rss[3] - rss[0] > GROWTH_MIB_MAX:
        load.fail(f"memory of the server grew from {rss[0]} to {rss[3]} MiB")
    result = {
        "sessions": len(clients),
        "minutes": load.options.minutes,
        "turns": dict(load.ends),
        "counts": dict(load.counts),
        "statuses": dict(load.statuses),
        "foreign_canaries": load.foreign[:20],
        "errors": load.errors[:20],
        "error_count": len(load.errors),
        "server_mib_by_quarter": rss,
        "server_mib_max": round(max((sample[1] for sample in load.memory), default=0) / 1024, 1),
        "pythons_pss_mib_by_quarter": [quarter(index, 2) for index in range(4)],
    }
    return result


def report(options, code, result):
    lines = [
        f"# Agents: {options.sessions} sessions for {options.minutes:g} minutes, with kills",
        "",
        f"* command: `{' '.join(['python bench/agent_load.py', *sys.argv[1:]])}`",
        f"* machine: {machine()[1]}; load over the last 15 minutes {os.getloadavg()[2]:.1f}",
        f"* commit: {code}",
        *([f"* note: {options.note}"] if options.note else []),
        "",
        "Something is wrong: see `errors`." if result["errors"] or result["foreign_canaries"] else "Nothing is wrong.",
    ]
    return "\n".join([*lines, "", "```json", json.dumps(result, indent=1), "```", ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--pythons", type=int, default=64, help="Pythons that the server may have")
    parser.add_argument("--server-kills", type=int, default=6)
    parser.add_argument("--worker-kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="write a file into bench/results")
    parser.add_argument("--note", default="", help="what a reader of the result must know")
    options = parser.parse_args()
    code = commit()
    settings = f"[limits]\nsessions_max = {options.pythons}\n[log]\nrequests = false\n[agent]\nturns_per_key_max = 500\n"
    arguments = ["--preimport=", "--memory-mib", "256", "--disk-mib", "16", "--cell-seconds", "10"]
    with Server(SCENARIOS, settings, arguments) as server:
        load = Load(options, server)
        clients = [Client(load, number) for number in range(options.sessions)]
        for client in clients:
            client.start()
        watch(load)
        for client in clients:
            client.join(60)
        time.sleep(3)
        for client in clients:
            if not client.had_session:
                load.fail(f"client {client.number} never had a session")
            verify(load, client)
        result = summary(load, clients)
    print(json.dumps(result, indent=1))
    if options.write:
        path = REPOSITORY / f"bench/results/{datetime.date.today()}-agent-load-{machine()[0]}.md"
        path.write_text(report(options, code, result))
    sys.exit(int(bool(load.errors or load.foreign)))


if __name__ == "__main__":
    main()
