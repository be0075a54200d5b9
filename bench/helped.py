#!/usr/bin/env python3
"""With and without help: the same model plain, with similar solved tasks as examples, and with functions earned before.

usage: python bench/helped.py [--adapter DIR] [--out DIR] [--limit N] [--dry] [--report]

Earns the skills of docs/examples/skills.py, then measures the adapter (that of configs/quickstart.toml unless another is
given) at temperature 0 on the tasks of data/flywheel/held_out.jsonl whose family is new, in one `codeact-eval run`, which
goes on where it was stopped. Writes bench/results/<date>-helped-<machine>.md; `--dry` only prints, `--report` reads DIR and
measures nothing. The adapter is made by

    codeact-train --config configs/quickstart.toml"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

from dated import REPOSITORY, commit, machine, tell

EVALUATOR = REPOSITORY / "target/release/codeact-eval"
MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
TASKS = REPOSITORY / "data/flywheel/held_out.jsonl"
EXAMPLES = REPOSITORY / "data/quickstart/codeact.jsonl"
SKILLS = REPOSITORY / "docs/examples/skills.py"
REASONS = 8


def measure(adapter, out, limit):
    """Minutes of the measurement; `out` gets the tasks, the skills and what `codeact-eval run` writes."""
    out.mkdir(parents=True, exist_ok=True)
    tasks = [line for line in TASKS.read_text().splitlines() if json.loads(line)["family"].startswith("new-family/")]
    (out / "tasks.jsonl").write_text("\n".join(tasks[:limit]) + "\n")
    if not (out / "skills").exists():
        subprocess.run([EVALUATOR, "skills", SKILLS, "--store", out / "skills"], check=True)
    model = f"{MODEL},adapter={adapter}"
    begun = time.monotonic()
    subprocess.run([EVALUATOR, "run", out / "tasks.jsonl", "--out", out / "measured", "--seed", "0",
                    "--contestant", f"plain={model}",
                    "--contestant", f"examples={model},examples={EXAMPLES},examples_max=2",
                    "--contestant", f"skills={model},skills={out / 'skills'}"], cwd=REPOSITORY, check=True)
    return (time.monotonic() - begun) / 60


def success(summary):
    """Each contestant's tally, and how it compares with plain on the same tasks."""
    versus = {each["second"][0]: each for each in summary["comparisons"] if each["first"][0] == "plain"}
    lines = ["| contestant | solved (95%) | against plain, same tasks (95%) | won, lost | McNemar's p | given | tries that called a skill | "
             "tokens read, written |", "| --- |" + " --- |" * 7]
    for column in summary["columns"]:
        tally, pair, given = column["all"], versus.get(column["contestant"]), column["all"].get("help")
        low, high = (100 * end for end in tally["interval"])
        cells = [column["contestant"], f"{tally['solved']}/{tally['tries']}, {100 * tally['rate']:.1f}% ({low:.1f}-{high:.1f}%)"]
        if pair:
            low, high = (100 * end for end in pair["interval"])
            cells += [f"{100 * pair['difference']:+.1f} ({low:+.1f} to {high:+.1f}) points",
                      f"{pair['only_second']}, {pair['only_first']}", f"{pair['p_value']:.2g}"]
        else:
            cells += ["", "", ""]
        cells += [f"{given['examples']:.1f} examples, {given['skills']:.0f} skills", str(given["tries_with_call"])] if given else ["", ""]
        cells.append(f"{tally['prompt_tokens']:.0f}, {tally['completion_tokens']:.0f}")
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def failures(summary):
    """Why tasks were not solved, by contestant."""
    columns = {column["contestant"]: column["all"]["failures"] for column in summary["columns"]}
    names = {name for each in columns.values() for name in each}
    names = sorted(names, key=lambda name: (-sum(each.get(name, 0) for each in columns.values()), name))[:REASONS]
    rows = [f"| {name} | " + " | ".join(str(each.get(name, 0)) for each in columns.values()) + " |" for name in names]
    return ["| why not solved | " + " | ".join(columns) + " |", "| --- |" + " --- |" * len(columns), *rows]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--adapter", type=Path, default=Path("checkpoints/runs/quickstart/adapter"))
    parser.add_argument("--out", type=Path, default=Path("checkpoints/runs/helped"), help="gets the tasks, the skills and measured/")
    parser.add_argument("--limit", type=int, help="only the first tasks")
    parser.add_argument("--dry", action="store_true")
    parser.add_argument("--report", action="store_true")
    args = parser.parse_args()
    load, out = os.getloadavg()[0], (REPOSITORY / args.out).resolve()
    minutes = None if args.report else measure((REPOSITORY / args.adapter).resolve(), out, args.limit)
    summary = json.loads((out / "measured/summary.json").read_text())
    lines = [
        "# With and without help",
        "",
        f"{machine()}, {os.cpu_count()} processors; commit {commit()}; load of the machine at the start {load:.1f}",
        "",
        "    " + shlex.join(["python", "bench/helped.py", *sys.argv[1:]]),
        "",
        f"{MODEL} with one adapter, greedy, on held-out tasks of families that were never trained. Examples: the two most similar "
        "of data/quickstart/codeact.jsonl, of other families. Skills: those of docs/examples/skills.py, several made for these families.",
        "",
        *success(summary),
        "",
        *failures(summary),
        "",
        *([f"Minutes of measuring: {minutes:.1f}.", ""] if minutes else []),
    ]
    # A part of the tasks is no result to keep.
    tell("helped", lines, args.dry or args.limit is not None)
    return 0


if __name__ == "__main__":
    sys.exit(main())
