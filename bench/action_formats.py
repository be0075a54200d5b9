#!/usr/bin/env python3
"""Code, JSON and text as actions of the same small model, each learned from the same tasks: the figure of the CodeAct paper.

usage: python bench/action_formats.py [--out DIR] [--limit N] [--dry] [--report] [-- --set KEY=VALUE ..]

Trains one adapter for each form with configs/action_formats/FORM.toml, unless it is there, with the settings after `--`;
a run that was stopped goes on. Then measures each in its own form, temperature 0, on data/suites/tools and
data/suites/atomic, none of whose tasks is trained, in one `codeact-eval run`, which goes on as well. Minutes are told of
what was done in one go. Writes bench/results/<date>-action-formats-<machine>.md; `--dry` only prints, `--report` reads DIR
and neither trains nor measures.

A rehearsal: python bench/action_formats.py --out target/rehearsal --limit 2 --dry -- --set train.steps=2"""

import argparse
import collections
import json
import math
import os
import random
import shlex
import subprocess
import sys
import time
import tomllib
from pathlib import Path

from dated import REPOSITORY, commit, machine, tell

PROGRAMS = REPOSITORY / "target/release"
FORMS = ("code", "json", "text")
SUITES = ("tools", "atomic")
PARTS = {"tools": ("easy", "medium", "hard"), "atomic": ("short", "longer")}
Z = 1.959964
RESAMPLES = 10_000
BAR = 50
# Longer than any reply that is trained; what is cut off there is rambling.
REPLY_TOKENS = 256
REASONS = 8


def settings(form):
    return REPOSITORY / f"configs/action_formats/{form}.toml"


def model(form, runs):
    """The model that a run trained, by its own settings: those after `--` may name another."""
    return tomllib.loads((runs / form / "config.toml").read_text())["model"]["name"]


def train(form, runs, given):
    """The folder of the adapter; minutes, None where a run went on. One that is over ends at once, and one of other settings
    or data is refused."""
    folder = runs / form
    adapter = folder / "adapter"
    command = [PROGRAMS / "codeact-train", "--config", settings(form), "--set", f"output.dir={folder}", *given]
    goes_on = any(folder.glob("step-*"))
    if goes_on:
        command.append("--resume")
    elif folder.exists():  # Stopped before its first checkpoint.
        command += ["--set", "output.overwrite=true"]
    begun = time.monotonic()
    subprocess.run(command, cwd=REPOSITORY, check=True)
    return adapter, None if goes_on else (time.monotonic() - begun) / 60


def measure(adapters, runs, limit):
    """Minutes, None where it went on."""
    out = runs / "measured"
    goes_on = (out / "results.jsonl").exists()
    command = [PROGRAMS / "codeact-eval", "run", *(f"data/suites/{suite}" for suite in SUITES), "--out", out,
               "--reply-tokens", str(REPLY_TOKENS)]
    for form, adapter in adapters.items():
        command += ["--contestant", f"{form}={model(form, runs)},adapter={adapter}"]
    begun = time.monotonic()
    subprocess.run([*command, *(["--limit", str(limit)] if limit else [])], cwd=REPOSITORY, check=True)
    return None if goes_on else (time.monotonic() - begun) / 60


def results(out):
    """Each try by form, suite and task; every contestant is measured in the form of its name alone."""
    tries = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    tries = [each for each in tries if "task" in each]
    if any(each["contestant"] != each["format"] for each in tries):
        sys.exit("a contestant was measured in the form of another")
    return {form: {(each["suite"], each["task"]): each for each in tries if each["format"] == form} for form in FORMS}


def parts():
    """Suite and difficulty of every task, by suite and id."""
    found = {}
    for suite in SUITES:
        for path in sorted((REPOSITORY / f"data/suites/{suite}").glob("*.jsonl")):
            for task in map(json.loads, path.read_text().splitlines()):
                tags = [tag for tag in PARTS[suite] if tag in task.get("tags", [])]
                found[suite, task["id"]] = tags[0] if tags else PARTS[suite][-1]
    return found


def wilson(right, count):
    """Wilson's 95 % interval."""
    rate, square = right / count, Z * Z / count
    middle, half = rate + square / 2, Z * math.sqrt(rate * (1 - rate) / count + square / count / 4)
    return max(0.0, (middle - half) / (1 + square)), min(1.0, (middle + half) / (1 + square))


def mcnemar(first, second):
    """The two-sided binomial test of the tasks that only one of both solved."""
    count = first + second
    return min(1.0, 2 * sum(math.comb(count, index) for index in range(min(first, second) + 1)) / 2**count)


def bootstrap(differences):
    """The 95 % percentile interval of their mean over tasks."""
    draw = random.Random(1)
    means = sorted(sum(draw.choices(differences, k=len(differences))) / len(differences) for _ in range(RESAMPLES))
    return means[round(0.025 * (RESAMPLES - 1))], means[round(0.975 * (RESAMPLES - 1))]


def share(tries):
    right = sum(each["is_solved"] for each in tries)
    if not tries:
        return "–"
    low, high = wilson(right, len(tries))
    return f"{right}/{len(tries)}, {100 * right / len(tries):.1f}% ({100 * low:.0f}-{100 * high:.0f}%)"


def mean(tries, value):
    return sum(value(each) for each in tries) / max(1, len(tries))


def figure(tried):
    """Success by suite and form as bars, with the interval as a line."""
    lines = []
    for suite in SUITES:
        lines.append(f"{suite}")
        for form in FORMS:
            tries = [each for (where, _), each in tried[form].items() if where == suite]
            right = sum(each["is_solved"] for each in tries)
            low, high = (round(BAR * end) for end in wilson(right, max(1, len(tries))))
            full = round(BAR * right / max(1, len(tries)))
            bar = "".join("█" if at < full else "─" if low <= at < high else " " for at in range(BAR))
            lines.append(f"  {form:<5} |{bar}| {100 * right / max(1, len(tries)):.1f}%")
    return ["```text", *lines, f"         0%{'100%':>{BAR - 1}}", "```"]


def success(tried):
    known = parts()
    lines = ["| tasks | " + " | ".join(FORMS) + " |", "| --- | --- | --- | --- |"]
    for suite in SUITES:
        for part in (None, *PARTS[suite]):
            cells = [share([each for key, each in tried[form].items() if key[0] == suite and part in (None, known[key])]) for form in FORMS]
            lines.append(f"| {suite}{f', {part}' if part else ''} | " + " | ".join(cells) + " |")
    return lines


def costs(tried):
    lines = ["| suite | form | replies a task | tokens read | tokens written | of solved tasks: replies | tokens written | invalid actions | failed actions |",
             "| --- |" + " --- |" * 8]
    for suite in SUITES:
        for form in FORMS:
            tries = [each for (where, _), each in tried[form].items() if where == suite]
            solved = [each for each in tries if each["is_solved"]]
            actions = collections.Counter()
            for each in tries:
                actions.update({name: each["actions"][name] for name in ("tried", "invalid", "failed")})
            rate = {name: f"{100 * actions[name] / max(1, actions['tried']):.1f}%" for name in ("invalid", "failed")}
            of_solved = [f"{mean(solved, lambda each: each[key]):.{digits}f}" if solved else "–"
                         for key, digits in (("steps", 2), ("completion_tokens", 0))]
            cells = [suite, form, f"{mean(tries, lambda each: each['steps']):.2f}", f"{mean(tries, lambda each: each['prompt_tokens']):.0f}",
                     f"{mean(tries, lambda each: each['completion_tokens']):.0f}", *of_solved, rate["invalid"], rate["failed"]]
            lines.append("| " + " | ".join(cells) + " |")
    return lines


def pairs(tried):
    lines = ["| tasks | pair | difference (95%) | only the first | only the second | McNemar's p |", "| --- |" + " --- |" * 5]
    for suite in (*SUITES, "both"):
        for first, second in (("code", "json"), ("code", "text"), ("json", "text")):
            keys = [key for key in tried[first] if key in tried[second] and suite in (key[0], "both")]
            if not keys:
                continue
            right = [(tried[first][key]["is_solved"], tried[second][key]["is_solved"]) for key in keys]
            differences = [one - other for one, other in right]
            low, high = bootstrap(differences)
            only = differences.count(1), differences.count(-1)
            lines.append(f"| {suite} | {first} - {second} | {100 * sum(differences) / len(keys):+.1f} ({100 * low:+.1f} to {100 * high:+.1f}) points | "
                         f"{only[0]} | {only[1]} | {mcnemar(*only):.2g} |")
    return lines


def failures(tried):
    counts = {form: collections.Counter(each["failure"] for each in tried[form].values() if not each["is_solved"]) for form in FORMS}
    names = sorted({name for each in counts.values() for name in each}, key=lambda name: -sum(each[name] for each in counts.values()))
    rows = [f"| {name} | " + " | ".join(str(counts[form][name]) for form in FORMS) + " |" for name in names[:REASONS]]
    if others := names[REASONS:]:
        rows.append(f"| {len(others)} others | " + " | ".join(str(sum(counts[form][name] for name in others)) for form in FORMS) + " |")
    return ["| why not solved | " + " | ".join(FORMS) + " |", "| --- | --- | --- | --- |", *rows]


def training(runs, minutes):
    """What each adapter was trained on: conversations, steps and loss, out of the folder of its run."""
    lines = ["| form | conversations | tokens | supervised | steps | held-out loss before, after | minutes |", "| --- |" + " --- |" * 6]
    for form in FORMS:
        rows = [json.loads(line) for line in (runs / form / "metrics.jsonl").read_text().splitlines()]
        losses = [row["held_out_loss"] for row in rows if row.get("held_out_loss") is not None]
        steps = [row for row in rows if "loss" in row and "step" in row]
        lines.append("| " + " | ".join([form, *facts(form, runs), str(len(steps)), f"{losses[0]:.3f}, {losses[-1]:.3f}" if losses else "–",
                                        told(minutes, form)]) + " |")
    return lines


def told(minutes, what):
    """Minutes of what was done here from its beginning to its end."""
    if what not in minutes:
        return "–"
    return "resumed" if minutes[what] is None else f"{minutes[what]:.1f}"


def facts(form, runs):
    """Conversations, tokens and supervised tokens of what was trained, by the settings of the run."""
    shown = subprocess.run([PROGRAMS / "codeact-train", "stats", "--json", "--config", runs / form / "config.toml"], cwd=REPOSITORY,
                           check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    stats = json.loads(shown.stdout)
    return [f"{stats[name]:,}" for name in ("conversations", "tokens", "supervised_tokens")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("checkpoints/runs/action-formats"), help="gets FORM/ and measured/")
    parser.add_argument("--limit", type=int, help="only the first tasks of each suite")
    parser.add_argument("--dry", action="store_true")
    parser.add_argument("--report", action="store_true")
    parser.add_argument("given", nargs="*", help="after `--`, for codeact-train")
    args = parser.parse_args()
    # A part of the suites is no result to keep.
    args.dry = args.dry or args.limit is not None
    load, out = os.getloadavg()[0], (REPOSITORY / args.out).resolve()
    minutes = {}
    if not args.report:
        adapters = {}
        for form in FORMS:
            adapters[form], minutes[form] = train(form, out, args.given)
        minutes["measured"] = measure(adapters, out, args.limit)
    tried = results(out / "measured")
    models = ", ".join(sorted({model(form, out) for form in FORMS}))
    lines = [
        "# Code, JSON and text as actions",
        "",
        f"{machine()}, {os.cpu_count()} processors; commit {commit()}; load of the machine at the start {load:.1f}",
        "",
        "    " + shlex.join(["python", "bench/action_formats.py", *sys.argv[1:]]),
        "",
        f"{models}, one LoRA adapter for each form, trained on the same tasks (data/action_formats), then measured in that form. None of the "
        "measured tasks is trained; their tools are.",
        "",
        *training(out, minutes),
        "",
        *figure(tried),
        "",
        "Solved, with Wilson's 95 % interval:",
        "",
        *success(tried),
        "",
        "The same tasks, pair by pair (intervals: bootstrap over tasks; one seed of training each, p not corrected for the "
        "number of comparisons):",
        "",
        *pairs(tried),
        "",
        *costs(tried),
        "",
        *failures(tried),
        "",
        f"Minutes of measuring: {told(minutes, 'measured')}.",
        "",
    ]
    tell("action-formats", lines, args.dry)
    return 0


if __name__ == "__main__":
    sys.exit(main())
