#!/usr/bin/env python3
"""The LoRA training step of this build beside that of another one: whether it became slower.

usage: python bench/train_step_builds.py PROGRAM COMMIT [--lengths 512,1024] [--steps 5] [--rounds 5] [--dry]

PROGRAM is the other build's `target/release/examples/train_step`; COMMIT is what it was built from:

    git worktree add ../before COMMIT
    cd ../before && cargo build --release --package codeact-model --example train_step

One that takes its arguments in another form, as those before 95886ad, needs a script around it, which turns `--model
--tokens --steps --dtype --recompute` into them and prints `{"seconds": [..], "peak_bytes": ..}`.

Runs of both alternate, bf16, nothing recomputed, so that a change of the machine's speed falls on both. Run it on an
otherwise idle machine. Writes bench/results/<date>-train-step-builds-<machine>.md; `--dry` only prints."""

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys

from dated import REPOSITORY, commit, machine, tell

OURS = REPOSITORY / "target/release/examples/train_step"


def run(program, args, length):
    """Tokens/s of the median step, and the highest resident memory in MiB."""
    command = [program, "--model", args.model, "--tokens", str(length), "--steps", str(args.steps), "--dtype", "bf16"]
    environment = dict(os.environ, RAYON_NUM_THREADS=str(os.cpu_count()))
    result = json.loads(subprocess.check_output([*command, "--recompute", "none"], env=environment, cwd=REPOSITORY))
    return length / statistics.median(result["seconds"]), result["peak_bytes"] / 2**20


def spread(values, digits):
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def row(args, length):
    pairs = []
    for index in range(args.rounds):
        # Who goes first changes, so that neither gains by it.
        sides = [(OURS, 0), (args.program, 1)][:: -1 if index % 2 else 1]
        pairs.append([result for _, result in sorted((side, run(program, args, length)) for program, side in sides)])
        print(f"{length} tokens, round {index + 1}: {pairs[-1][0][0]:.0f} / {pairs[-1][1][0]:.0f} tok/s", file=sys.stderr)
    rates = [[pair[side][0] for pair in pairs] for side in (0, 1)]
    ratios = [now / before for now, before in zip(*rates)]
    memory = [max(pair[side][1] for pair in pairs) for side in (0, 1)]
    cells = [length, *(spread(each, 0) for each in rates), spread(ratios, 2), *(f"{each:.0f}" for each in memory)]
    return "| " + " | ".join(map(str, cells)) + " |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("commit")
    parser.add_argument("--model", default="checkpoints/base/HuggingFaceTB--SmolLM2-135M-Instruct")
    parser.add_argument("--lengths", default="512,1024", help="tokens of the sequence")
    parser.add_argument("--steps", type=int, default=5, help="timed steps of each run")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each build")
    parser.add_argument("--dry", action="store_true")
    args = parser.parse_args()
    load = os.getloadavg()[0]
    rows = [row(args, int(length)) for length in args.lengths.split(",")]
    lines = [
        "# A LoRA training step: this build and another one",
        "",
        f"{machine()}, {os.cpu_count()} processors; load of the machine at the start {load:.1f}",
        "",
        "    " + shlex.join(["python", "bench/train_step_builds.py", "PROGRAM", args.commit, *sys.argv[3:]]),
        "",
        f"This build: {commit()}; the other: {args.commit}. Rank 16 on all seven linear layers, bf16, one sequence of random "
        f"ids, {args.steps} steps a run after 2 of warm-up, {args.rounds} alternating runs of each: median (lowest to highest).",
        "",
        "| tokens | this, tok/s | other, tok/s | ratio | this, MiB | other, MiB |",
        "| --- | --- | --- | --- | --- | --- |",
        *rows,
        "",
    ]
    tell("train-step-builds", lines, args.dry)


if __name__ == "__main__":
    main()
