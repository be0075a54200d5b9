#!/usr/bin/env python3
"""The sandbox's speed beside other executors of Python cells, on this machine, in one go.

usage: python bench/sandbox.py [--rounds 5] [--rung root|user|weak] [--dry]

Run with the packages of bench/sandbox-requirements.txt on an otherwise idle machine; the sandbox takes the same Python.
In every round each executor has its turn, so that a change of the machine's speed falls on all. Prints a Markdown table
and writes bench/results/<date>-sandbox-<machine>.md; `--dry` only prints."""

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys

from sandbox_peers import IMPORTS, Interpreter, Kernel, cells, output, parallel, starts, timed
from train_step import REPOSITORY, machine, output as printed

EXAMPLE = REPOSITORY / "target/release/examples/latency"
LOOP = "total = 0\nfor number in range(100_000):\n    total += number * number"
LIGHT = "sum(range(1000))"
BARE_PARTS = ["--bare", "cells", "heap", "sessions", "loop", "parallel", "output"]
IMPORTS_PARTS = ["cells", "heap", "sessions"]
LISTS = [
    ("cells", "back_to_back_ms"),
    ("cells", "paused_ms"),
    ("heap", "back_to_back_ms"),
    ("heap", "paused_ms"),
    ("heap", "undo_ms"),
    ("sessions", "start_ms"),
]
VERSIONS = ["ipykernel", "jupyter_client", "smolagents", "numpy", "pandas", "matplotlib"]
PEERS = [Kernel, Interpreter]


def collect(into, key, values):
    into.setdefault(key, []).extend(values if isinstance(values, list) else [values])


def measure_ours(args, found):
    for label, more in (("bare", BARE_PARTS), ("imports", IMPORTS_PARTS)):
        command = [EXAMPLE, "--python", sys.executable, *(["--rung", args.rung] if args.rung else []), *more]
        result = json.loads(printed(*command))
        if label == "imports" and result["missing"]:
            sys.exit(f"not imported: {result['missing']}\nhint: pip install -r bench/sandbox-requirements.txt")
        found["rung"] = result["rung"]
        for part, key in LISTS:
            collect(found, f"{label} {part} {key}", result[part][key])
        # Per round, as both are taken in turns: what a cell waits for the checkpoint after the one before.
        for part in ("cells", "heap"):
            back_to_back, paused = (statistics.median(result[part][key]) for key in ("back_to_back_ms", "paused_ms"))
            collect(found, f"{label} {part} checkpoint_ms", back_to_back - paused)
        collect(found, f"{label} idle_mib", result["sessions"]["idle_pss_bytes"] / 2**20)
        found[f"{label} kinds"] = result["sessions"]["idle_by_kind"]
        found["idle_sessions"] = result["sessions"]["idle_sessions"]
        if label == "bare":
            collect(found, "loop_ms", result["loop"]["loop_ms"])
            collect(found, "one", result["parallel"]["cells_per_second"]["1"])
            collect(found, "eight", result["parallel"]["cells_per_second"]["8"])
            collect(found, "output", result["output"]["megabytes_per_second"])


def measure_peer(kind, found):
    for label, imports in (("bare", []), ("imports", IMPORTS)):
        collect(found, f"{label} sessions start_ms", starts(kind, imports, 2 if kind is Kernel else 20))
        session = kind(imports)
        collect(found, f"{label} cells back_to_back_ms", cells(session, 100, 0))
        collect(found, f"{label} cells paused_ms", cells(session, 100, 0.005))
        if kind is Kernel:
            collect(found, f"{label} idle_mib", session.memory() / 2**20)
        if label == "bare":
            collect(found, "loop_ms", [timed(session, LOOP) for _ in range(5)])
            collect(found, "output", output(session, 1_000_000, 50))
        session.close()
    collect(found, "one", parallel(kind, LIGHT, 1, 100))
    collect(found, "eight", parallel(kind, LIGHT, 8, 100))


def spread(values):
    if not values:
        return "-"
    ordered = sorted(values)
    at = lambda share: ordered[min(len(ordered) - 1, int(share * len(ordered)))]
    digits = 0 if statistics.median(ordered) >= 100 else 2
    return f"{statistics.median(ordered):.{digits}f} ({at(0.1):.{digits}f} to {at(0.9):.{digits}f}, n={len(ordered)})"


def ratio(ours, theirs, is_rate):
    if not ours or not theirs:
        return "-"
    one, other = statistics.median(ours), statistics.median(theirs)
    value = one / other if is_rate else other / one
    return f"{value:.0f}" if value >= 10 else f"{value:.2f}"


ROWS = [
    ("new session, ms", "bare sessions start_ms", "30"),
    ("new session with numpy, pandas, Matplotlib imported, ms", "imports sessions start_ms", "30"),
    ("empty cell, 5 ms after the one before, ms", "bare cells paused_ms", "1"),
    ("the same, libraries imported, ms", "imports cells paused_ms", "1"),
    ("empty cell, back to back, ms", "bare cells back_to_back_ms", ""),
    ("the same, libraries imported, ms", "imports cells back_to_back_ms", ""),
    ("loop of 100,000 steps, ms", "loop_ms", ""),
    ("cells/s of one session, light cells", "one", ""),
    ("cells/s of 8 sessions at once", "eight", ""),
    ("output, MB/s", "output", ""),
]
OWN_ROWS = [
    ("checkpoint, as a cell back to back waits for it, ms", "bare cells checkpoint_ms", ""),
    ("the same, 50 MB heap, ms", "bare heap checkpoint_ms", "2"),
    ("the same, libraries imported and 50 MB heap, ms", "imports heap checkpoint_ms", "2"),
    ("undo of one cell, 50 MB heap, ms", "bare heap undo_ms", "2"),
    ("the same, libraries imported, ms", "imports heap undo_ms", "2"),
]
RATES = ("one", "eight", "output")


def table(found):
    ours = found["ours"]
    lines = ["| what | goal | sandbox | ipykernel | smolagents | ipykernel / sandbox | smolagents / sandbox |", "| --- " * 7 + "|"]
    for label, key, goal in ROWS:
        peers = [found[kind.name].get(key) for kind in PEERS]
        ratios = [ratio(ours[key], peer, key in RATES) for peer in peers]
        cells_of_row = [label, goal, spread(ours[key]), *map(spread, peers), *ratios]
        lines.append("| " + " | ".join(cells_of_row) + " |")
    lines += ["", "| sandbox only | goal | |", "| --- | --- | --- |"]
    lines += [f"| {label} | {goal} | {spread(ours[key])} |" for label, key, goal in OWN_ROWS]
    return lines


def memory(found):
    ours, count = found["ours"], found["ours"]["idle_sessions"]
    lines = [f"Memory of {count} live idle sessions after one cell each, in MiB (PSS; goal with libraries: 1024):", ""]
    lines += ["| imported | all | per session | by process | a kernel of ipykernel |", "| --- " * 5 + "|"]
    for label, shown in (("bare", "nothing"), ("imports", ", ".join(IMPORTS))):
        total = statistics.median(ours[f"{label} idle_mib"])
        kinds = [
            f"{name} {kind['pss_bytes'] / 2**20:.0f} ({kind['processes']})" for name, kind in ours[f"{label} kinds"].items()
        ]
        kernel = statistics.median(found["ipykernel"][f"{label} idle_mib"])
        lines.append(f"| {shown} | {total:.0f} | {total / count:.1f} | {', '.join(kinds)} | {kernel:.0f} |")
    return lines


def report(args, found):
    commit = printed("git", "rev-parse", "--short", "HEAD").strip()
    changed = printed("git", "status", "--porcelain", "--untracked-files=no").strip()
    peers = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in VERSIONS)
    return "\n".join(
        [
            "# Cells: the sandbox, ipykernel and smolagents",
            "",
            f"* command: `{' '.join(['python bench/sandbox.py', *sys.argv[1:]])}`",
            f"* machine: {machine()[1]}; load over the last 15 minutes {os.getloadavg()[2]:.1f}",
            f"* commit: {commit}{' with uncommitted changes' if changed else ''}; {printed('rustc', '--version').strip()}",
            f"* peers: {peers}, Python {platform.python_version()}",
            f"* sandbox: rung `{found['ours']['rung']}`, a checkpoint of the interpreter and of the files after every cell",
            f"* {args.rounds} rounds, in each of which every executor has its turn",
            "",
            "Median (10th to 90th percentile, number of measurements). Ratios are of medians, above 1 where the sandbox is",
            "faster. smolagents interprets the code inside the process of its host, without a process, files or limits of",
            "its own; a kernel of ipykernel is a process without protection. Neither can take a cell back.",
            "",
            *table(found),
            "",
            *memory(found),
            "",
        ]
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rung", choices=["root", "user", "weak"], help="default: the best that holds")
    parser.add_argument("--dry", action="store_true", help="print, write no file")
    args = parser.parse_args()
    printed("cargo", "build", "--release", "--quiet", "--package", "codeact-sandbox", "--example", "latency")
    found = {"ours": {}, **{kind.name: {} for kind in PEERS}}
    for index in range(args.rounds):
        measure_ours(args, found["ours"])
        for kind in PEERS:
            measure_peer(kind, found[kind.name])
        print(f"round {index + 1} of {args.rounds}", file=sys.stderr)
    text = report(args, found)
    print(text)
    if not args.dry:
        path = REPOSITORY / f"bench/results/{datetime.date.today()}-sandbox-{machine()[0]}.md"
        path.write_text(text)
        print(f"wrote {path.relative_to(REPOSITORY)}", file=sys.stderr)


if __name__ == "__main__":
    main()
