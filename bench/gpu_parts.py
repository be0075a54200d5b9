"""The parts of the GPU benchmark: what runs, in which order, and what its output means.

  1  our kernels and golden models on the card, against the CPU
  2  the card's ceilings: cuBLAS on the models' shapes, copying
  3  our training step
  4  PEFT's, beside it
  5  every kernel of a step: time, bytes, share of the copy rate
  6  two runs of a step, bit for bit
  7  layouts of LoRA products
  8  our model that serves: decoding, reading prompts, products of few rows
  9  the program that serves, on a tiny model: that it runs on the card as it is started"""

import csv
import dataclasses
import importlib.util
import json
import re
import shutil
import sys

from gpu_work import SHAPES, documents

NCU_METRICS = ["gpu__time_duration.sum", "dram__bytes_read.sum", "dram__bytes_write.sum"]
# As versions of ncu spell them.
UNITS = {"s": 1, "second": 1, "ns": 1e-9, "nsecond": 1e-9, "us": 1e-6, "usecond": 1e-6, "ms": 1e-3, "msecond": 1e-3}
UNITS |= {"byte": 1, "Kbyte": 1e3, "Mbyte": 1e6, "Gbyte": 1e9}
# `all` is the engine's: requests in company on a card.
TESTS = ["kernels", "golden", "equivalence", "card", "card_serving", "all"]


@dataclasses.dataclass
class Item:
    """One process. `command` is None, with a reason, where something is missing; below `least_s` it is not begun."""

    part: int
    name: str
    kind: str
    command: list | None
    limit_s: float
    least_s: float = 0
    reason: str = ""


@dataclasses.dataclass
class Sizes:
    """What is measured: models, the headline's first; and tokens of a step, in documents of `mean` tokens."""

    models: list
    small: int
    middle: int
    large: int
    mean: int


FULL = Sizes(["mistral-7b", "llama2-7b"], 4096, 8192, 16384, 1000)
REHEARSAL = Sizes(["tiny"], 64, 96, 128, 16)


def sizes(rehearse):
    return REHEARSAL if rehearse else FULL


def device(place):
    return ["--device", "cpu" if place.rehearse else "cuda"]


def lengths_file(place, tokens):
    path = place.documents / f"{tokens}.json"
    path.write_text(json.dumps(documents(tokens, sizes(place.rehearse).mean)))
    return str(path)


def test(place, name, limit_s):
    command = [place.binary(name), "--test-threads=1", "--nocapture"] if place.binary(name) else None
    return Item(1, f"test {name}", "test", command, limit_s, reason=f"no executable `{name}`")


def python(place, part, name, script, arguments, limit_s, least_s=0):
    command = [sys.executable, f"bench/{script}", *arguments, *device(place)]
    return Item(part, name, "json", command, limit_s, least_s)


def ours(place, model, dtype, tokens, recompute="none", part=3, again=False, steps=5):
    """Our step. Hashes are made between the timed parts; they cost seconds, so only where two runs are compared."""
    name = f"ours {model} {dtype} {tokens} {recompute}{', again' if again else ''}"
    binary = place.binary("train_step")
    if binary is None:
        return Item(part, name, "json", None, 0, reason="no executable `train_step`")
    command = [binary, "--model", str(SHAPES / model), "--documents", lengths_file(place, tokens), "--dtype", dtype]
    command += ["--recompute", recompute, "--steps", str(steps), *device(place)]
    if tokens == sizes(place.rehearse).small and dtype == "bf16" and recompute == "none":
        command.append("--checksum")
    return Item(part, name, "json", command, limit_s=75, least_s=20)


def peft(place, model, dtype, tokens, limit_s, adapters="bf16,f32"):
    name = f"peft {model} {dtype} {' '.join(map(str, tokens))}"
    if dtype == "nf4" and importlib.util.find_spec("bitsandbytes") is None:
        return Item(4, name, "json", None, 0, reason="bitsandbytes is not installed")
    files = [lengths_file(place, count) for count in tokens]
    # Torch's flash attention for packed rows is the card's only.
    ways = "masked,padded" if place.rehearse else "packed,padded"
    arguments = [model, *files, "--dtype", dtype, "--ways", ways, "--adapters", adapters, "--steps", "3"]
    # It begins no measurement that would not end in time.
    arguments += ["--seconds", str(0.75 * limit_s)]
    return python(place, 4, name, "gpu_peft.py", arguments, limit_s, least_s=30)


def kernels(place):
    """A model of two layers: each kernel does what it does in the whole model, and runs few times."""
    sizing = sizes(place.rehearse)
    name, profiler = f"kernels {sizing.models[0]} bf16 {sizing.middle}", shutil.which("ncu")
    if profiler is None or place.binary("train_step") is None:
        missing = "ncu is not installed" if profiler is None else "no executable `train_step`"
        return Item(5, name, "ncu", None, 0, reason=missing)
    command = [profiler, "--csv", "--page", "raw", "--print-units", "base", "--metrics", ",".join(NCU_METRICS)]
    # The card's clocks stay as they are, and a kernel finds the cache as the one before it left it.
    command += ["--clock-control", "none", "--cache-control", "none", place.binary("train_step"), "--layers", "2"]
    command += ["--model", str(SHAPES / sizing.models[0]), "--documents", lengths_file(place, sizing.middle)]
    return Item(5, name, "ncu", [*command, "--steps", "1", "--warmup", "0", *device(place)], limit_s=90, least_s=25)


def serving(place, model, weights):
    """Correct first: recorded passes have to give the tokens of passes that are queued kernel by kernel."""
    name, binary = f"serving {model} {weights}", place.binary("serve_step")
    if binary is None:
        return Item(8, name, "json", None, 0, reason="no executable `serve_step`")
    command = [binary, "--model", str(SHAPES / model), "--weights", weights]
    if place.rehearse:
        command += ["--batch", "1,2", "--context", "20,140", "--prompt", "70", "--rows", "1,9", "--steps", "2"]
        return Item(8, name, "json", [*command, "--device", "emulated"], limit_s=60)
    return Item(8, name, "json", [*command, "--device", "cuda"], limit_s=90, least_s=30)


def program(place, more=()):
    """The server's own measurement; what it measures on a model this small means nothing, that it ends well does."""
    name, binary = " ".join(["codeact-serve", "bench", *more]), place.binary("codeact-serve")
    if binary is None:
        return Item(9, name, "json", None, 0, reason="no executable `codeact-serve`")
    command = [binary, "bench", "--model", "tests/golden/models/llama-tiny", "--json", "--prompt-tokens", "40"]
    command += ["--new-tokens", "20", "--rounds", "2", "--kv-memory", "64", *more, *device(place)]
    return Item(9, name, "json", command, limit_s=40)


def items(place):
    """All items, the most important first."""
    sizing = sizes(place.rehearse)
    first, others = sizing.models[0], sizing.models[1:]
    small, middle, large = sizing.small, sizing.middle, sizing.large
    ceilings = ["--models", ",".join(sizing.models), "--tokens", f"{small},{middle},{large}"]
    ceilings += ["--copy-mib", "16" if place.rehearse else "2048"]
    lora = [["--model", first, "--tokens", str(middle), "--rank", str(rank)] for rank in (16, 64)]
    return [
        *(test(place, name, limit_s=90) for name in TESTS),
        python(place, 2, "ceilings", "gpu_ceilings.py", ceilings, limit_s=60),
        ours(place, first, "bf16", small),
        ours(place, first, "bf16", large),
        *(serving(place, first, weights) for weights in ("bf16", "q8", "q4")),
        program(place),
        program(place, ["--dtype", "bf16", "--batch", "9"]),
        peft(place, first, "bf16", [small, large], limit_s=110),
        ours(place, first, "bf16", small, part=6, again=True),
        ours(place, first, "nf4", middle),
        ours(place, first, "bf16", middle),
        ours(place, first, "nf4", small, "block"),
        python(place, 7, "lora products, rank 16", "gpu_lora.py", lora[0], limit_s=40),
        ours(place, first, "bf16", small, "block"),
        kernels(place),
        *(ours(place, model, "bf16", tokens) for model in others for tokens in (small, large)),
        *(peft(place, model, "bf16", [small, large], limit_s=70, adapters="bf16") for model in others),
        peft(place, first, "nf4", [middle], limit_s=70, adapters="bf16"),
        python(place, 7, "lora products, rank 64", "gpu_lora.py", lora[1], limit_s=40),
        ours(place, first, "bf16", large, again=True),
    ]


def judge(item, output, code):
    """Status and result of an item that ran. What was cut off is tried again by the next call."""
    if item.kind == "test":
        return judge_test(output, code)
    if item.kind == "ncu":
        result = ncu_kernels(output) if code == 0 else []
    else:
        result = [json.loads(line) for line in output.splitlines() if line.startswith("{") and line.endswith("}")]
    ended = "timed out" if code is None else f"exit code {code}"
    if not result:
        return {"status": "failed", "reason": f"{ended}, no result"}
    # PEFT's process prints each measurement as it is made; those before the end are whole.
    cut = {} if code == 0 else {"reason": f"{ended} after {len(result)} results"}
    return {"status": "done", "result": result, **cut}


def judge_test(output, code):
    """Counts of a Rust test executable; skipped are the lines by which our tests say so."""
    counts = re.search(r"test result: (\w+)\. (\d+) passed; (\d+) failed; (\d+) ignored", output)
    if code is None or counts is None:
        ended = "timed out" if code is None else f"exit code {code}"
        return {"status": "failed", "reason": f"{ended}, no counts", "output": output[-2000:]}
    result = {"passed": int(counts[2]), "failed": int(counts[3]), "ignored": int(counts[4])}
    # The harness may have written the test's name before it on the line.
    result["skipped"] = sum("skipped:" in line for line in output.splitlines())
    judged = {"status": "done", "result": {**result, "is_ok": code == 0 and counts[1] == "ok"}}
    return judged if judged["result"]["is_ok"] else {**judged, "output": output[-6000:]}


def ncu_kernels(output):
    """Launches, seconds and bytes by kernel, the longest first, out of ncu's CSV: names, units, then launches."""
    rows = list(csv.DictReader(line for line in output.splitlines() if line.startswith('"')))
    kernels = {}
    for row in rows[1:]:
        numbers = [float(row[metric].replace(",", "")) * UNITS[rows[0][metric]] for metric in NCU_METRICS]
        kernel = kernels.setdefault(row["Kernel Name"], {"launches": 0, "seconds": 0.0, "bytes": 0.0})
        kernel["launches"] += 1
        kernel["seconds"] += numbers[0]
        kernel["bytes"] += numbers[1] + numbers[2]
    return sorted(({"name": name, **kernel} for name, kernel in kernels.items()), key=lambda kernel: -kernel["seconds"])
