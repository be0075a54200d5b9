#!/usr/bin/env python3
"""What the agent adds to a step: all time of a turn in which neither the model writes nor Python runs.

usage: python bench/agent_steps.py [--turns 40] [--steps 10] [--model DIR] [--write] [--note TEXT]

Standard library only. Runs target/release/codeact-serve in front of a scripted model that answers at once, with turns of
many steps, in sandboxed Python. A client posts each message and reads its events to the end: what it waited, less the
`seconds` of all `usage` and `exec.end` events, divided by the steps, is what the agent, its events on the disk and HTTP
take. `exec.end` counts from the request to the sandbox to its answer; compiling the code before is not in it.

With `--model DIR` the same server runs that model with tasks of data/quickstart/heldout.jsonl, and what their `usage` says
is added up: behind an observation a step should read no more than that, and what is left of a page of 16 tokens.

`--write` puts it into bench/results/<date>-agent-steps-<machine>.md."""

import argparse
import datetime
import http.client
import json
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from agent_server import KEY, Server  # noqa: E402
from load import REPOSITORY, commit, machine  # noqa: E402

GOAL_MS = 5.0


def turn(server, session, content):
    """Seconds until the end of a turn, and its events."""
    host, port = server.url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=300)
    fields = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json", "Accept": "text/event-stream"}
    start = time.perf_counter()
    connection.request("POST", f"/v1/agent/sessions/{session}/messages", json.dumps({"content": content}), fields)
    answer = connection.getresponse()
    if answer.status != 200:
        sys.exit(f"a message got {answer.status}: {answer.read().decode()}")
    events = []
    for line in answer:
        if line.startswith(b"data: "):
            events.append(json.loads(line[6:]))
            if events[-1]["type"] == "turn.end":
                break
    seconds = time.perf_counter() - start
    connection.close()
    return seconds, events


def create(server, body):
    status, session = server.ask("POST", "/v1/agent/sessions", body)
    if status != 201:
        sys.exit(f"a session got {status}: {session}")
    return session["id"]


def overhead(options):
    """Milliseconds of each step, by turn, beside those of model and Python."""
    action = "I count.\n<execute>\ntotal = globals().get('total', 0) + %d\nprint('total', total)\n</execute>"
    replies = [action % number for number in range(options.steps - 1)]
    scenarios = [{"when": "count", "replies": [*replies, "<solution>counted</solution>"]}]
    limits = {"steps": options.steps + 1, "executions": options.steps + 1}
    rows = []
    with Server(scenarios, "[log]\nrequests = false\n", ["--preimport="]) as server:
        for number in range(options.turns + 1):
            # A conversation of its own for each turn, so that none is measured with a longer one.
            session = create(server, {"limits": limits})
            turn(server, session, "count")
            seconds, events = turn(server, session, "count")
            server.ask("DELETE", f"/v1/agent/sessions/{session}")
            end = events[-1]
            if (end["end"], end["steps"]) != ("solution", options.steps):
                sys.exit(f"a turn ended otherwise: {end}")
            spent = {kind: sum(event["seconds"] for event in events if event["type"] == kind) for kind in ("usage", "exec.end")}
            if number:
                ms = 1000 / options.steps
                rows.append([(seconds - sum(spent.values())) * ms, spent["usage"] * ms, spent["exec.end"] * ms])
    return rows


def reading(options):
    """What the steps of some tasks had in their prompts, and read of them: the first step of a task, and the later ones."""
    lines = (REPOSITORY / "data/quickstart/heldout.jsonl").read_text().splitlines()[::8][:24]
    first, later = [], []
    with Server([], "[log]\nrequests = false\n", ["--preimport="], model=options.model) as server:
        for line in lines:
            session = create(server, {})
            _, events = turn(server, session, json.loads(line)["prompt"])
            usages = [event for event in events if event["type"] == "usage"]
            if not usages:
                sys.exit(f"a turn has no usage: {events[-1]}")
            first.append(usages[0])
            later += usages[1:]
            server.ask("DELETE", f"/v1/agent/sessions/{session}")
    return len(lines), first, later


def spread(values):
    ordered = sorted(values)
    low, high = ordered[len(ordered) // 10], ordered[len(ordered) * 9 // 10]
    return f"{statistics.median(ordered):.2f} ({low:.2f} to {high:.2f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=40)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--model", help="a model folder, to see what its steps read")
    parser.add_argument("--write", action="store_true", help="write a file into bench/results")
    parser.add_argument("--note", default="", help="what a reader of the result must know")
    options = parser.parse_args()
    code = commit()
    columns = list(zip(*overhead(options)))
    lines = [
        "# What the agent adds to a step",
        "",
        f"* command: `{' '.join(['python bench/agent_steps.py', *sys.argv[1:]])}`",
        f"* machine: {machine()[1]}",
        f"* commit: {code}",
        *([f"* note: {options.note}"] if options.note else []),
        "",
        f"{options.turns} turns of {options.steps} steps; median over turns (p10 to p90), ms a step.",
        "",
        "| neither model nor Python | goal | scripted model | Python and sandbox |",
        "|---|---|---|---|",
        f"| {spread(columns[0])} | {GOAL_MS:g} | {spread(columns[1])} | {spread(columns[2])} |",
    ]
    if options.model:
        tasks, *kinds = reading(options)
        lines += ["", f"{tasks} tasks of data/quickstart/heldout.jsonl with a model in the process; sums of tokens.", ""]
        lines += ["| steps | number | of prompts | in the cache | read | read a step |", "|---|---|---|---|---|---|"]
        for name, usages in zip(["first of a task", "behind an observation"], kinds):
            prompt, cached = (sum(usage[key] for usage in usages) for key in ("prompt_tokens", "cached_tokens"))
            read = prompt - cached
            lines.append(f"| {name} | {len(usages)} | {prompt} | {cached} | {read} | {read / max(len(usages), 1):.1f} |")
    text = "\n".join(lines) + "\n"
    print(text)
    if options.write:
        path = REPOSITORY / f"bench/results/{datetime.date.today()}-agent-steps-{machine()[0]}.md"
        path.write_text(text)


if __name__ == "__main__":
    main()
