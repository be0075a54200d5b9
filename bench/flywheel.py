#!/usr/bin/env python3
"""What the rounds of a flywheel did to success and chat: a finished run as a result that can be committed.

usage: python bench/flywheel.py [--config FILE] [--run DIR] [--name NAME] [--dry] [-- --set KEY=VALUE ..]

Runs `codeact-train --config ..`, with the settings after `--`, and writes bench/results/<date>-NAME-<machine>.md out
of the numbers in its folder (NAME is `flywheel` unless given). With `--run` it reads the folder of a run that has ended
instead, and no time of the whole is given: only the stages that say themselves how long they took. `--dry` only prints."""

import argparse
import json
import os
import subprocess
import sys
import time
import tomllib
from pathlib import Path

from dated import REPOSITORY, commit, machine, tell

TRAINER = REPOSITORY / "target/release/codeact-train"


def share(count):
    return f"{count['solved']}/{count['tasks']} ({100 * count['low']:.0f}-{100 * count['high']:.0f}%)"


def figures_row(figures, start, trained, verdict):
    groups = figures["groups"]
    cells = [figures["name"], *(share(groups[name]) for name in sorted(groups))]
    versus = figures["versus"]
    cells.append(f"+{versus['won']} -{versus['lost']}, p {versus['p']:.2g}, beside {versus['before']}" if versus else "")
    cells.append(f"{figures['chat_loss']:.4f} ({figures['chat_loss'] / start['chat_loss']:.3f})")
    return "| " + " | ".join([*cells, trained, verdict]) + " |"


def table(state):
    start, groups = state["start"], sorted(state["start"]["groups"])
    right = " | ".join(f"{name}, right (95%)" for name in groups)
    lines = [
        f"| adapter | {right} | task by task | chat loss (of the start's) | trained on | verdict |",
        "| --- |" + " --- |" * (len(groups) + 4),
    ]
    if state.get("base"):
        lines.append(figures_row(state["base"], start, "", ""))
    lines.append(figures_row(start, start, "the `[[data]]`", ""))
    for each in state["rounds"]:
        verdict = each["verdict"]
        told = "kept" if verdict["is_kept"] else verdict["why"]
        if each["figures"]:
            trained = f"{each['trained']['conversations']} conversations, {each['trained']['steps']} steps"
            lines.append(figures_row(each["figures"], start, trained, told))
        else:  # Nothing was collected, and so nothing trained.
            lines.append(f"| round {each['number']} |" + " |" * (len(groups) + 3) + f" {told} |")
        if each.get("pairs"):
            lines.append(pairs_row(each, start))
    return lines


def pairs_row(each, start):
    """What learned the pairs of a round, where there were some."""
    pairs = each["pairs"]
    told = "kept" if pairs["verdict"]["is_kept"] else pairs["verdict"]["why"]
    if not pairs["figures"]:  # None of them could be learned.
        return f"| pairs {each['number']} |" + " |" * (len(start["groups"]) + 3) + f" {told} |"
    trained = f"{pairs['trained']['conversations']} of {pairs['count']} pairs, {pairs['trained']['steps']} steps"
    return figures_row(pairs["figures"], start, trained, told)


def collected(state):
    lines = ["| round | teacher | tasks tried | solved | attempts | right | kept |", "| --- |" + " --- |" * 6]
    for each in state["rounds"]:
        got = each["collected"]
        cells = [each["number"], got["teacher"], got["tasks"], got["solved"], got["attempts"], got["right"], got["kept"]]
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return lines


def minutes(state):
    measured = [part["seconds"] for part in (state.get("base"), state["start"]) if part]
    stages = {"first adapter": state.get("start_seconds") or 0, "measuring": sum(measured), "collecting": 0, "training": 0}
    for each in state["rounds"]:
        for name, part in (("collecting", "collected"), ("training", "trained"), ("measuring", "figures")):
            # The pairs of a round have a training and a measurement of their own.
            for of in (each, each.get("pairs") or {}):
                stages[name] += of[part]["seconds"] if of.get(part) else 0
    return ", ".join(f"{name} {seconds / 60:.1f}" for name, seconds in stages.items()), sum(stages.values()) / 60


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="configs/flywheel.toml")
    parser.add_argument("--run", type=Path)
    parser.add_argument("--name", default="flywheel")
    parser.add_argument("--dry", action="store_true")
    parser.add_argument("settings", nargs="*", help="after `--`, for codeact-train")
    args = parser.parse_args()
    command = ["codeact-train", "--config", args.config, *args.settings]
    load, whole = os.getloadavg()[0], None
    folder = args.run
    if folder is None:
        begun = time.monotonic()
        subprocess.run([TRAINER, *command[1:]], cwd=REPOSITORY, check=True)
        whole = (time.monotonic() - begun) / 60
        here = [setting.removeprefix("output.dir=") for setting in args.settings if setting.startswith("output.dir=")]
        written = tomllib.loads((REPOSITORY / args.config).read_text())["output"]["dir"]
        folder = REPOSITORY / (here[-1] if here else written)
    state = json.loads((folder / "flywheel.json").read_text())
    stages, total = minutes(state)
    lines = [
        "# The flywheel",
        "",
        f"{machine()}, {os.cpu_count()} processors; "
        + (f"commit {commit()}; load of the machine at the start {load:.1f}" if whole else f"written at commit {commit()}"),
        "",
        "    " + " ".join(command) if whole else "Out of the folder of a run that had ended; its settings are in flywheel.json.",
        "",
        *table(state),
        "",
        *collected(state),
        "",
        f"Minutes: {stages}; together {total:.1f}" + (f", the whole command {whole:.1f}." if whole else "."),
        "",
    ]
    tell(args.name, lines, args.dry)
    return 0


if __name__ == "__main__":
    sys.exit(main())
