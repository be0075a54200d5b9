#!/usr/bin/env python3
"""Many clients at once on codeact-serve, some of which leave early: errors, fairness, leaks, and whether any answer holds
what another client said or is another than alone.

usage: python bench/load.py --model DIR [--clients 220] [--minutes 10] [--leaving 0.1] [--seed 1] [--note TEXT] [--dry]
                            [-- SERVER OPTIONS]
       python bench/load.py --url http://127.0.0.1:8080 [...]

Standard library only. Starts target/release/codeact-serve (or $CODEACT_SERVE) on a free port with few places and little memory for keys and
values, so that clients are refused and sequences give way to others; or asks the server at --url, whose memory it cannot
see. Every client goes on asking until the time is up: chat and text completions, whole and streamed, prompts from a few
words to some hundred tokens, answers from 8 to 96. Each prompt holds a secret of its client, drawn anew each time,
often within a system prompt that all share; half of the prompts ask for it to be repeated. --leaving is the share of
requests that are dropped at a random moment. 429 is an answer: the client waits as it is told and asks again, and that
time counts as time to its answer.

The time is cut in two equal phases, with a rest behind each in which memory and pages are read. Then some answers are
asked for again, one after the other, and must be the same.

Writes bench/results/<date>-load-<machine>.md, unless --dry. Exit code: 0 nothing wrong, 1 something was; the report
names it."""

import argparse
import asyncio
import datetime
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

from load_clients import Client, Notes, Refused, answer, request
from train_step import REPOSITORY, machine, output

SERVER = Path(os.environ.get("CODEACT_SERVE", REPOSITORY / "target/release/codeact-serve"))
# Fewer places than clients, and fewer pages than what runs may want.
SETTINGS = "[limits]\nrunning_max = 24\nwaiting_max = 176\n[log]\nrequests = false\n"
KV_MIB = 32
# Memory at rest that may differ between two equal phases: the allocator's, not the requests'.
GROWTH_MIB_MAX = 32
SLOWEST_MAX, JAIN_MIN = 2.0, 0.95
GAUGES = ("requests_running", "requests_waiting", "kv_pages_used", "kv_pages_pinned")
COUNTERS = ("preemptions", "generated_tokens", "prompt_tokens", "prefix_hit_tokens", "accepted_tokens")


class Server:
    """What is asked: its address, and its process if it is ours."""

    def __init__(self, url, process=None):
        parts = urlsplit(url)
        self.address, self.process = (parts.hostname, parts.port), process

    def resident(self):
        if self.process is None:
            return None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024

    async def rest(self):
        """Gauges, counters and memory once nothing runs any more, or after a minute."""
        for _ in range(600):
            _, _, text = await request(self.address, "GET", "/metrics")
            lines = [line.rsplit(" ", 1) for line in text.decode().splitlines() if not line.startswith("#")]
            values = {name: float(value) for name, value in lines}
            state = {name: values[f"codeact_{name}"] for name in GAUGES + ("kv_pages", "kv_pages_cached")}
            # This request itself is in flight.
            state["in_flight"] = values["codeact_http_requests_in_flight"] - 1
            if not any(state[name] for name in GAUGES + ("in_flight",)):
                break
            await asyncio.sleep(0.1)
        state |= {name: values[f"codeact_{name}_total"] for name in COUNTERS}
        return state | {"rss_mib": self.resident()}


async def load(server, options):
    """What was seen: the clients' notes, and the server at rest before, between and after the phases."""
    notes = Notes(server.address, options.seed, options.leaving)
    clients = [Client(notes, number) for number in range(options.clients)]
    states, phases = [await server.rest()], []
    for _ in range(2):
        start, answered = time.monotonic(), notes.ends["answered"]
        end = start + options.minutes * 30
        await asyncio.gather(*(client.run(end) for client in clients))
        phases.append((time.monotonic() - start, notes.ends["answered"] - answered))
        states.append(await server.rest())
    return {"notes": notes, "states": states, "phases": phases, "again": await ask_again(server, notes.kept)}


async def ask_again(server, kept):
    """How many answers are the same when asked for alone, and those that are not."""
    others = []
    for path, body, said, reason in kept:
        while True:
            try:
                again = await answer(server.address, path, body)
                break
            except Refused as refused:
                await asyncio.sleep(refused.args[0])
        if again != (said, reason):
            others.append({"path": path, "body": body, "under_load": [said, reason], "alone": list(again)})
    return {"asked": len(kept), "other": others}


def fairness(notes):
    """The slowest client and Jain's index, of the clients' mean times, each relative to the mean of its size."""
    means = {size: statistics.mean(end for end, _ in times) for size, times in notes.times.items()}
    values = [statistics.mean(seconds / means[size] for size, seconds in times) for times in notes.by_client.values()]
    if not values:
        return {"slowest_over_mean": None, "jain": None}
    squares = sum(value * value for value in values)
    slowest = max(values) / statistics.mean(values)
    return {"slowest_over_mean": round(slowest, 2), "jain": round(sum(values) ** 2 / (len(values) * squares), 3)}


def judge(seen, client_count):
    """Everything that is wrong, in words."""
    notes, (_, middle, last) = seen["notes"], seen["states"]
    wrong = [f"{count} x {what}" for what, count in notes.errors.items()]
    wrong += [f"a secret of client {leak['of']} in an answer to {leak['found_by']}" for leak in notes.leaks]
    if not notes.repeated:
        wrong.append("no secret was repeated even to its own client, so that none could have leaked")
    if not notes.ends["refused (429)"]:
        wrong.append("nobody was refused: there was no load")
    if not last["preemptions"]:
        wrong.append("no sequence gave way to another: there was no lack of pages")
    for name in GAUGES + ("in_flight",):
        wrong += [f"{name} is {state[name]:.0f} when nothing runs" for state in (middle, last) if state[name]]
    growth = last["rss_mib"] - middle["rss_mib"] if last["rss_mib"] is not None else 0
    if growth > GROWTH_MIB_MAX:
        wrong.append(f"{growth:.0f} MiB more at rest after the second phase than after the first")
    unanswered = client_count - len(notes.by_client)
    wrong += [f"{unanswered} clients got no answer"] if unanswered else []
    fair = fairness(notes)
    if notes.by_client and (fair["slowest_over_mean"] > SLOWEST_MAX or fair["jain"] < JAIN_MIN):
        wrong.append(f"clients are not served alike: {fair}; at most {SLOWEST_MAX} and at least {JAIN_MIN} are due")
    if seen["again"]["other"]:
        wrong.append(f"{len(seen['again']['other'])} answers are others when asked for alone")
    return wrong


def summary(seen, options):
    notes, states = seen["notes"], seen["states"]
    sizes = [size for size in ("short", "middle", "long") if size in notes.times]
    return {
        "clients": options.clients,
        "phases": [{"seconds": round(seconds, 1), "answered": count} for seconds, count in seen["phases"]],
        "ends": dict(notes.ends),
        "wrong": judge(seen, options.clients),
        "seconds_to_the_end": {size: percentiles([end for end, _ in notes.times[size]]) for size in sizes},
        "seconds_to_the_first_event": {
            size: percentiles([first for _, first in notes.times[size] if first]) for size in sizes
        },
        "fairness": fairness(notes),
        "secrets": {"drawn": len(notes.secrets), "repeated_to_their_client": notes.repeated, "leaked": len(notes.leaks)},
        "asked_again": seen["again"],
        "at_rest": dict(zip(("before", "after_the_first_phase", "after_the_second_phase"), states)),
        "memory": "at rest, as above" if states[0]["rss_mib"] is not None else "not checked: the server is not ours",
    }


def percentiles(values):
    if not values:
        return {}
    ordered = sorted(values)
    at = {f"p{share}": ordered[min(len(ordered) - 1, len(ordered) * share // 100)] for share in (50, 90, 99)}
    at["max"] = ordered[-1]
    return {"count": len(ordered)} | {name: round(value, 3) for name, value in at.items()}


def commit():
    """What is measured, as git has it."""
    changed = output("git", "status", "--porcelain", "--untracked-files=no").strip()
    name = output("git", "rev-parse", "--short", "HEAD").strip()
    return f"{name}{' with uncommitted changes' if changed else ''}; {output('rustc', '--version').strip()}"


def report(options, code, found):
    what = f"{Path(options.model).name}, {KV_MIB} MiB for keys and values" if options.model else options.url
    lines = [
        f"# Load: {options.clients} clients for {options.minutes:g} minutes",
        "",
        f"* command: `{' '.join(['python bench/load.py', *sys.argv[1:]])}`",
        f"* machine: {machine()[1]}; load over the last 15 minutes {os.getloadavg()[2]:.1f}",
        f"* commit: {code}",
        f"* model: {what}",
        f"* settings: `{SETTINGS.strip()}`".replace("\n", " ") if options.model else "* settings: of that server",
    ]
    lines += [f"* note: {options.note}"] if options.note else []
    verdict = [f"* {what}" for what in found["wrong"]] or ["Nothing is wrong."]
    return "\n".join([*lines, "", *verdict, "", "```json", json.dumps(found, indent=2), "```", ""])


def start(options, folder):
    """Our own server, as soon as it listens."""
    settings = Path(folder, "serve.toml")
    settings.write_text(SETTINGS)
    command = [str(SERVER), "--model", options.model, "--port", "0", "--unsafe-no-sandbox", "--config", str(settings)]
    command += ["--kv-memory", str(KV_MIB), "--state-dir", str(Path(folder, "state")), *options.server]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if found := re.fullmatch(r"listening on (http://\S+)\n", line):
            return Server(found[1], process)
        print(line, end="", file=sys.stderr)
    sys.exit("the server did not start")


async def drain(stream):
    """Reads the server's log, so that it never waits for a reader."""
    while await asyncio.to_thread(stream.read, 1 << 16):
        pass


async def measure(options, server):
    reading = asyncio.create_task(drain(server.process.stderr)) if server.process else None
    found = summary(await load(server, options), options)
    if server.process:
        server.process.terminate()
        code = await asyncio.to_thread(server.process.wait, 60)
        found["wrong"] += [f"the server ended with {code}"] if code else []
        await reading
    return found


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("\n\n")[1])
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--model")
    where.add_argument("--url")
    parser.add_argument("--clients", type=int, default=220)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--leaving", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--note", default="", help="what a reader of the result must know")
    parser.add_argument("--dry", action="store_true", help="print, write no file")
    parser.add_argument("server", nargs="*")
    options = parser.parse_args()
    code = commit()
    with tempfile.TemporaryDirectory() as folder:
        server = start(options, folder) if options.model else Server(options.url)
        try:
            found = asyncio.run(measure(options, server))
        finally:
            if server.process and server.process.poll() is None:
                server.process.kill()
    text = report(options, code, found)
    print(text)
    if not options.dry:
        path = REPOSITORY / f"bench/results/{datetime.date.today()}-load-{machine()[0]}.md"
        path.write_text(text)
    sys.exit(1 if found["wrong"] else 0)


if __name__ == "__main__":
    main()
