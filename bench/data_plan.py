#!/usr/bin/env python3
"""Encoding and planning a mix of 100,000 conversations: tokens a second, seconds of the second start, peak memory.

usage: python bench/data_plan.py --model DIR [--rows 100000] [--pack 4096] [--threads 2] [--work DIR] [--dry]

DIR needs no more than a tokenizer (`tokenizer.json`, `tokenizer_config.json`) without a chat template: ChatML is added.
The rows are made here with a fixed seed: lengths and shapes of the mix of the CodeAct paper (a tenth trajectories with
code, the rest short questions, long talks), in JSON lines, an array, and a compressed file. Words are drawn as in a text,
a few often and most rarely. Runs `codeact-train stats` twice, so that the second start finds the cache, and once more with
one thread and the files under other names, whose plan has to be the same. Writes bench/results/<date>-data-plan-<machine>.md;
`--dry` only prints."""

import argparse
import gzip
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from dated import REPOSITORY, commit, machine, tell

TRAINER = REPOSITORY / "target/release/codeact-train"

SYLLABLES = "an ber co da el fi gor hu in jo ka lem mo na or pe qui ra so ti ul ve wo xi ya zo".split()
CODE = [
    "import math\nvalue = {0} * {1}\nprint(value)",
    "rows = [row for row in table if row['{0}'] > {1}]\nprint(len(rows))",
    "def solve({0}):\n    total = 0\n    for index in range({1}):\n        total += index\n    return total\nprint(solve({1}))",
]


class Writer:
    """Text of about so many tokens."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.words = ["".join(self.random.choices(SYLLABLES, k=self.random.randint(1, 4))) for _ in range(20_000)]
        self.weights = [1 / (rank + 3) for rank in range(len(self.words))]

    def text(self, tokens):
        words = self.random.choices(self.words, self.weights, k=max(1, int(tokens / 2.2)))
        for at in range(8, len(words), 11):
            words[at] += self.random.choice([".", ",", ".\n", ":", "?"])
        return " ".join(words)

    def length(self, mean):
        return min(max(self.random.lognormvariate(0, 0.8) * mean * 0.73, 8), 3 * mean)

    def trajectory(self, number):
        turns = [{"role": "system", "content": self.text(300)}, {"role": "user", "content": "Task:\n" + self.text(120)}]
        for step in range(self.random.randint(2, 5)):
            code = self.random.choice(CODE).format(self.random.choice(self.words), self.random.randint(2, 999))
            turns.append({"role": "assistant", "content": f"{self.text(self.length(60))}\n<execute>\n{code}\n</execute>"})
            turns.append({"role": "user", "content": f"Observation:\n{self.random.randint(0, 10**6)}\nYou have {4 - step} steps left."})
        turns.append({"role": "assistant", "content": self.text(30) + f"\n<solution> {number} </solution>"})
        return {"id": f"code/{number}", "conversations": turns}

    def question(self, number):
        return {"id": f"flan.{number}", "system_prompt": "You think step by step.", "question": self.text(self.length(140)),
                "response": self.text(self.length(120))}

    def talk(self, number):
        turns = []
        for _ in range(self.random.randint(2, 5)):
            turns += [{"from": "human", "value": self.text(self.length(80))}, {"from": "gpt", "value": self.text(self.length(480))}]
        return {"id": f"talk_{number}", "conversations": turns}


def write(folder, rows):
    writer = Writer(7)
    counts = {"code": rows // 10, "questions": rows * 6 // 10, "talks": rows - rows // 10 - rows * 6 // 10}
    with open(folder / "code.jsonl", "w") as file:
        file.writelines(json.dumps(writer.trajectory(number)) + "\n" for number in range(counts["code"]))
    with open(folder / "questions.json", "w") as file:
        file.write("[\n")
        for number in range(counts["questions"]):
            file.write((",\n" if number else "") + json.dumps(writer.question(number)))
        file.write("\n]\n")
    with gzip.open(folder / "talks.jsonl.gz", "wt", compresslevel=1) as file:
        file.writelines(json.dumps(writer.talk(number)) + "\n" for number in range(counts["talks"]))
    return counts


def settings(args, folder, names, threads):
    sources = "".join(f'[[data]]\npath = "{folder / name}"\nweight = {weight}\n' for name, weight in names)
    text = f"""[model]\nname = "{args.model}"\nchat_format = "chatml"\n[lora]\nrank = 8\nalpha = 16\n{sources}[train]
pack_tokens = {args.pack}\nthreads = {threads}\ncache = "{folder}/cache"\n[optimizer]\nlearning_rate = 1e-4
[output]\ndir = "{folder}/run"\n"""
    path = folder / "settings.toml"
    path.write_text(text)
    return path


def run(path):
    """Seconds, peak resident MiB, the statistics, and what was said."""
    begun = time.monotonic()
    child = subprocess.Popen([TRAINER, "stats", "--json", "--config", path], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    peak = 0
    out_file = tempfile.TemporaryFile()
    import threading
    reader = threading.Thread(target=lambda: out_file.write(child.stdout.read()))
    reader.start()
    said = child.stderr.read().decode()
    _, status, usage = os.wait4(child.pid, 0)
    reader.join()
    peak = usage.ru_maxrss // 1024
    if status:
        sys.exit(f"the trainer failed:\n{said}")
    out_file.seek(0)
    return time.monotonic() - begun, peak, json.loads(out_file.read()), said, usage.ru_utime + usage.ru_stime


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, type=Path)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--pack", type=int, default=4096)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", type=Path, default=None)
    parser.add_argument("--dry", action="store_true")
    args = parser.parse_args()
    args.model = args.model.resolve()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(dir=args.work) as room:
        folder = Path(room)
        counts = write(folder, args.rows)
        size = sum(path.stat().st_size for path in folder.iterdir()) >> 20
        names = [("code.jsonl", 3), ("questions.json", 4), ("talks.jsonl.gz", 3)]
        first = run(settings(args, folder, names, args.threads))
        second = run(settings(args, folder, names, args.threads))
        moved = folder / "moved"
        moved.mkdir()
        for name, _ in names:
            (folder / name).rename(moved / f"z{name}")
        third = run(settings(args, folder, [(f"moved/z{name}", weight) for name, weight in names], 1))
    stats = first[2]
    seconds = first[0] - second[0]
    shares = [(one["epoch_conversations"], weight) for one, (_, weight) in zip(stats["sources"], names)]
    total = sum(count for count, _ in shares)
    off = max(abs(count - total * weight / 10) for count, weight in shares)
    same = second[2]["plan"] == first[2]["plan"] == third[2]["plan"]
    lines = [
        f"# Encoding and planning {args.rows:,} conversations",
        "",
        f"{machine()}, {os.cpu_count()} processors, {args.threads} threads; commit {commit()}; load of the machine at the start {load:.1f}",
        "",
        f"    python bench/data_plan.py --model {args.model.name} --rows {args.rows} --pack {args.pack} --threads {args.threads}",
        "",
        f"{counts['code']:,} trajectories, {counts['questions']:,} questions, {counts['talks']:,} talks; {size} MiB of files, "
        f"{stats['tokens']:,} tokens, {stats['supervised_tokens']:,} supervised.",
        "",
        "| | seconds | of the processor | peak memory, MiB |",
        "| --- | --- | --- | --- |",
        f"| first start: read, encode, plan three epochs, count | {first[0]:.1f} | {first[4]:.1f} | {first[1]} |",
        f"| second start, from the cache | {second[0]:.1f} | {second[4]:.1f} | {second[1]} |",
        f"| other names, one thread, from the cache | {third[0]:.1f} | {third[4]:.1f} | {third[1]} |",
        "",
        f"* encoding: {stats['tokens'] / seconds:,.0f} tokens/s of wall time (first start less the second), "
        f"{stats['tokens'] / (first[4] - second[4]):,.0f} tokens a second of processor time",
        f"* packs of {args.pack}: {100 * stats['plan']['packing_efficiency']:.2f}% full",
        f"* weights 3 : 4 : 3 give {' : '.join(str(count) for count, _ in shares)} conversations an epoch, each off by less than one: {off:.1f} at most",
        f"* the three plans are {'the same' if same else 'NOT THE SAME'}",
        "",
    ]
    tell("data-plan", lines, args.dry)
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
