#!/usr/bin/env python3
"""Our LoRA training step beside PEFT's, on this machine, in one go.

usage: python bench/train_step.py [--model DIR] [--steps 8] [--rounds 3] [--lengths 512,1024] [--threads 2] [--dry]

Run with the packages of tests/requirements.txt on an otherwise idle machine. For every length each of our modes
meets each of PEFT's: processes alternate (ours, PEFT, ours, PEFT, ...), `rounds` of each pair, so that a change of the
machine's speed falls on both. Prints a Markdown table and writes bench/results/<date>-train-step-<machine>.md; `--dry`
only prints. Goal: at least PEFT's best mode at no more than half of its peak memory."""

import argparse
import datetime
import json
import os
import platform
import re
import statistics
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
EXAMPLE = REPOSITORY / "target/release/examples/train_step"
OURS = ["bf16", "f32"]
PEFT = ["bf16", "autocast", "f32"]


def output(*command, **more):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY, **more).stdout


def run_ours(args, length, mode):
    # rayon and the matrix product both read this.
    environment = dict(os.environ, RAYON_NUM_THREADS=str(args.threads))
    command = [EXAMPLE, "--model", args.model, "--tokens", str(length), "--steps", str(args.steps)]
    command += ["--dtype", mode, "--recompute", args.recompute]
    result = json.loads(output(*command, env=environment))
    return {"tok_s": round(length / statistics.median(result["seconds"]), 1), "peak_rss_mib": result["peak_bytes"] >> 20}


def run_peft(args, length, mode):
    script = REPOSITORY / "bench/peft_step.py"
    command = [sys.executable, script, args.model, str(length), str(args.steps), mode, str(args.threads)]
    return json.loads(output(*command))


def alternate(args, length, ours, peft):
    """Results of `rounds` alternating runs of one of our modes and one of PEFT's."""
    pairs = []
    for index in range(args.rounds):
        pair = (run_ours(args, length, ours), run_peft(args, length, peft))
        pairs.append(pair)
        rates = [result["tok_s"] for result in pair]
        print(f"{length} tokens, {ours} / {peft}, round {index + 1}: {rates[0]} / {rates[1]} tok/s", file=sys.stderr)
    return pairs


def spread(values, digits):
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def row(length, ours, peft, pairs):
    ratios = [a["tok_s"] / b["tok_s"] for a, b in pairs]
    memory = [max(result["peak_rss_mib"] for result in side) for side in zip(*pairs)]
    imports = max(b["imports_rss_mib"] for _, b in pairs)
    cells = [
        length,
        ours,
        peft,
        spread([a["tok_s"] for a, _ in pairs], 0),
        spread([b["tok_s"] for _, b in pairs], 0),
        spread(ratios, 2),
        memory[0],
        f"{memory[1]} ({imports})",
        f"{memory[0] / memory[1]:.2f}",
    ]
    return "| " + " | ".join(map(str, cells)) + " |"


def machine():
    """Name for the file, and a line for the reader."""
    fields = dict(re.findall(r"^(.+?):\s+(.*)$", output("lscpu", env=dict(os.environ, LC_ALL="C")), re.MULTILINE))
    cpu = fields.get("Model name", platform.processor() or platform.machine())
    flags = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in fields.get("Flags", "").split()]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = os.cpu_count()
    name = re.sub(r"[^a-z0-9]+", "-", f"{cpu} {cores}cpu".lower()).strip("-")
    return name, f"{cpu}, {cores} CPUs, {memory:.0f} GiB, {' '.join(flags) or 'no AVX2'}, {platform.system()} {platform.release()}"


def report(args, rows, last):
    commit = output("git", "rev-parse", "--short", "HEAD").strip()
    changed = output("git", "status", "--porcelain", "--untracked-files=no").strip()
    load = os.getloadavg()
    versions = ", ".join(f"{name} {last[name]}" for name in ("torch", "transformers", "peft"))
    return "\n".join(
        [
            "# A LoRA training step: ours and PEFT's",
            "",
            f"* command: `{' '.join(['python bench/train_step.py', *sys.argv[1:]])}`",
            f"* machine: {machine()[1]}; load over the last 15 minutes {load[2]:.1f}",
            f"* commit: {commit}{' with uncommitted changes' if changed else ''}; {output('rustc', '--version').strip()}",
            f"* peers: {versions}, Python {platform.python_version()}",
            f"* model: {Path(args.model).name}; rank 16 on all seven linear layers, one sequence of random ids, all targets",
            f"* {args.threads} threads, {args.steps} steps a run after 2 of warm-up, {args.rounds} alternating runs of each;"
            f" our recompute level: {args.recompute}",
            "",
            "Tokens/s and ratio (ours / PEFT): median over the runs (lowest to highest); a run counts with its median step.",
            "Memory: the highest resident peak of a run; for PEFT in brackets what importing torch alone takes.",
            "",
            "| tokens | ours | PEFT | ours tok/s | PEFT tok/s | ratio | ours MiB | PEFT MiB | memory ratio |",
            "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
            *rows,
            "",
        ]
    )


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="checkpoints/base/HuggingFaceTB--SmolLM2-135M-Instruct")
    parser.add_argument("--steps", type=int, default=8, help="timed steps of each run")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each side of a pair")
    parser.add_argument("--lengths", default="512,1024", help="tokens of the sequence")
    parser.add_argument("--ours", default=",".join(OURS), help="our modes")
    parser.add_argument("--peft", default=",".join(PEFT), help="PEFT's modes")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--recompute", default="none", choices=["none", "mlp", "block"])
    parser.add_argument("--dry", action="store_true", help="print, write no file")
    args = parser.parse_args()
    for given, known in ((args.ours, OURS), (args.peft, PEFT)):
        unknown = set(given.split(",")) - set(known)
        if unknown:
            parser.error(f"unknown mode {sorted(unknown)}, choose from {known}")
    if not (REPOSITORY / args.model / "config.json").exists():
        parser.error(f"no model in `{args.model}`\nhint: a quickstart run fetches it")
    return args


def main():
    args = arguments()
    build = ["cargo", "build", "--release", "--quiet", "--package", "codeact-model", "--example", "train_step"]
    output(*build)
    rows, last = [], {}
    for length in map(int, args.lengths.split(",")):
        for ours in args.ours.split(","):
            for peft in args.peft.split(","):
                pairs = alternate(args, length, ours, peft)
                rows.append(row(length, ours, peft, pairs))
                last = pairs[-1][1]
    text = report(args, rows, last)
    print(text)
    if not args.dry:
        path = REPOSITORY / f"bench/results/{datetime.date.today()}-train-step-{machine()[0]}.md"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        print(f"wrote {path.relative_to(REPOSITORY)}", file=sys.stderr)


if __name__ == "__main__":
    main()
