#!/usr/bin/env python3
"""Runs the parts of the GPU benchmark, the most important first, and writes what they gave.

usage: gpu_run.py [OUT_DIR] [--rehearse]; the exit code is 0 when all tests passed on the card and no two runs differ

bench/gpu.sh calls this; gpu_parts.py says what the parts are. OUT_DIR (bench/results by default) gets
  <date>-gpu-<card>.json and .md   everything, and the tables; the tables are printed too
  gpu-items.jsonl                  a line for each item as it ends: a call that finds it leaves out what is done
  gpu-log.txt                      what the items wrote to stderr"""

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import gpu_parts
import gpu_report

ROOT = Path(__file__).resolve().parent.parent
# Kept for writing the results.
RESERVE_S = 8
# Less than this starts no item.
LEAST_S = 5
PEERS = ["torch", "transformers", "peft", "triton", "bitsandbytes", "liger_kernel", "flash_attn"]
CARD = ["name", "driver_version", "memory.total", "clocks.sm", "clocks.mem", "clocks.max.sm", "power.limit"]


class Place:
    """Where things are on this machine."""

    def __init__(self, out, rehearse):
        self.out, self.rehearse, self.root = out, rehearse, ROOT
        self.binaries = binaries()
        self.documents = Path(tempfile.mkdtemp(prefix="gpu-documents-"))
        self.environment = dict(
            os.environ,
            LD_LIBRARY_PATH=":".join(filter(None, [os.environ.get("LD_LIBRARY_PATH"), *map(str, library_folders())])),
            # For our tests: where tests/golden lies, and that a card must be used.
            CODEACT_REPOSITORY=str(ROOT),
            CODEACT_DEVICE="cpu" if rehearse else "cuda",
            HF_HUB_OFFLINE="1",
            PYTHONUNBUFFERED="1",
            # The setting that torch itself suggests when memory is tight: it is PEFT's that this helps.
            PYTORCH_CUDA_ALLOC_CONF="expandable_segments:True",
        )

    def binary(self, name):
        path = self.binaries / name
        return str(path) if path.exists() else None

    def shown(self, text):
        """For a reader elsewhere, without the folders of this machine."""
        names = {sys.executable: "python3", f"{self.documents}/": "", f"{self.binaries}/": "", f"{self.root}/": ""}
        for path, name in names.items():
            text = text.replace(path, name)
        return text


def binaries():
    """The folder with the executables: packed, unpacked here, or built in this checkout."""
    archive = ROOT / "bin.tar.xz"
    if archive.exists():
        target = ROOT / "bin" if os.access(ROOT, os.W_OK) else Path(tempfile.mkdtemp(prefix="gpu-bin-"))
        if not (target / "complete").exists():
            with tarfile.open(archive) as packed:
                packed.extractall(target, filter="data")
            (target / "complete").touch()
        return target
    return ROOT / "target/gpu/bin"


def library_folders():
    """Folders with CUDA's libraries that came with Python packages; the system's own are found without."""
    folders = []
    for base in sys.path:
        folders += sorted({path.parent for path in Path(base).glob("nvidia/**/lib*.so*")}) if base else []
    return folders


def run(command, limit, place, log):
    """Output, exit code and seconds of a command; on a time-out of all that it started, the code is None."""
    start = time.monotonic()
    log.write(f"\n$ {' '.join(command)}\n")
    log.flush()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=log, text=True, cwd=place.root, env=place.environment, start_new_session=True
    )
    try:
        output, code = process.communicate(timeout=limit)[0], process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, code = process.communicate()[0], None
    seconds = time.monotonic() - start
    log.write(f"{output[-4000:]}\n= {'timed out' if code is None else code} after {seconds:.1f} s\n")
    log.flush()
    return output, code, seconds


def finished(path):
    """Records of earlier calls, by item; the newest counts, and half a line does not."""
    records = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        records[record["item"]] = record
    return records


def work(place, items, records, deadline):
    """Runs the items that are not done, while time is left; returns the records."""
    journal = (place.out / "gpu-items.jsonl").open("a")
    # A call that was killed may have left half a line.
    journal.write("\n")
    log = (place.out / "gpu-log.txt").open("a")
    for item in items:
        if records.get(item.name, {}).get("status") == "done":
            continue
        left = deadline - time.monotonic() - RESERVE_S
        record = {"part": item.part, "item": item.name, "time": datetime.datetime.now().isoformat(timespec="seconds")}
        if left < max(LEAST_S, item.least_s):
            record.update(status="skipped", reason="out of time")
        elif item.command is None:
            record.update(status="skipped", reason=item.reason)
        else:
            print(f"{item.name} ...", file=sys.stderr, end=" ", flush=True)
            output, code, seconds = run(item.command, min(item.limit_s, left), place, log)
            record.update(command=" ".join(item.command), seconds=round(seconds, 1), code=code)
            record.update(gpu_parts.judge(item, output, code))
            print(f"{record['status']}, {seconds:.0f} s", file=sys.stderr)
        records[item.name] = record
        journal.write(json.dumps(record) + "\n")
        journal.flush()
    return records


def card(place, log=sys.stderr):
    """What nvidia-smi says of the card, as found: nothing is set."""
    query = ["nvidia-smi", f"--query-gpu={','.join(CARD)}", "--format=csv,noheader"]
    try:
        output = subprocess.run(query, stdout=subprocess.PIPE, stderr=log, text=True, check=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError) as error:
        return None if not place.rehearse else {"name": "no card (rehearsal on the CPU)", "error": str(error)[:200]}
    return dict(zip(CARD, (field.strip() for field in output.splitlines()[0].split(","))))


def version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def build():
    """The commit and compiler of the executables, as the packing wrote them."""
    for path in (ROOT / "build.json", ROOT / "target/gpu/build.json"):
        if path.exists():
            return json.loads(path.read_text())
    return {}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, default=ROOT / "bench/results")
    parser.add_argument("--rehearse", action="store_true", help="every part, small, on the CPU")
    args = parser.parse_args()
    budget = float(os.environ.get("BUDGET_S", "480"))
    deadline = time.monotonic() + budget
    args.out = args.out.resolve()
    args.out.mkdir(parents=True, exist_ok=True)
    place = Place(args.out, args.rehearse)
    before = card(place)
    if before is None:
        print("error: nvidia-smi finds no NVIDIA GPU\nhint: --rehearse runs every part small, on the CPU", file=sys.stderr)
        return 2
    records = work(place, gpu_parts.items(place), finished(args.out / "gpu-items.jsonl"), deadline)
    result = {
        "date": str(datetime.date.today()),
        "command": f"BUDGET_S={budget:.0f} bash bench/gpu.sh{' --rehearse' if args.rehearse else ''}",
        "card": before,
        "card_after": card(place),
        "build": build(),
        "system": f"{platform.system()} {platform.release()}, {os.cpu_count()} CPUs, Python {platform.python_version()}",
        "versions": {name: version(name.replace("_", "-")) for name in PEERS},
        "items": list(records.values()),
    }
    text = place.shown(gpu_report.markdown(result))
    name = re.sub(r"[^a-z0-9]+", "-", before["name"].lower()).strip("-")
    path = args.out / f"{result['date']}-gpu-{name}"
    path.with_suffix(".json").write_text(place.shown(json.dumps(result, indent=1)) + "\n")
    path.with_suffix(".md").write_text(text)
    print(text)
    print(f"wrote {path}.json and .md", file=sys.stderr)
    return 0 if gpu_report.is_correct(result) else 1


if __name__ == "__main__":
    sys.exit(main())
