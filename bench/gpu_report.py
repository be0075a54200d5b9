"""Tables out of the records of the GPU benchmark. Every number in them was measured or is counted from the shapes."""

import statistics

from gpu_serving import decoding, is_same_recorded, products, prompts  # noqa: F401, looked up by name
from gpu_tables import done, spread, table
from gpu_work import shape, step_flops

SECTIONS = [
    ("Correctness", "correctness"),
    ("What the card gives", "ceilings"),
    ("A training step", "training"),
    ("Goals", "goals"),
    ("Two runs of a step", "determinism"),
    ("Kernels of two layers", "kernels"),
    ("Layouts of LoRA products", "lora"),
    ("Serving: decoding", "decoding"),
    ("Serving: reading prompts", "prompts"),
    ("Serving: products of few rows", "products"),
    ("Not measured", "missing"),
]
FLOPS = (
    "4 operations for each frozen weight of the linear layers and token, 4 for each of the head and supervised token, "
    "14 for each channel and pair of tokens that attend, counted from the documents' lengths; the adapter, norms and "
    "recomputing are not counted"
)
# How many kernels the table shows.
KERNELS_MAX = 30
GIB = 2**30


def markdown(result):
    lines = ["# On a GPU: a LoRA training step, ours and PEFT's; serving", ""]
    lines += [f"* {name}: {text}" for name, text in facts(result)]
    for title, name in SECTIONS:
        body = globals()[name](result)
        if body:
            lines += ["", f"## {title}", "", *body]
    return "\n".join(lines) + "\n"


def facts(result):
    build = result["build"]
    yield "command", f"`{result['command']}`, {result['date']}"
    for moment, field in (("before", "card"), ("after", "card_after")):
        found = result[field] or {}
        rest = ", ".join(f"{name} {value}" for name, value in found.items() if name != "name")
        yield f"card {moment}", f"{found.get('name')}: {rest}"
    yield "system", result["system"]
    changed = " with uncommitted changes" if build.get("changed") else ""
    yield "ours", f"commit {build.get('commit')}{changed}; {build.get('rustc')}; {build.get('built_with')}"
    yield "peers", ", ".join(f"{name} {version or 'not installed'}" for name, version in result["versions"].items())
    yield "step", "forward, backward, clipping and AdamW; random weights; rank 16 on all seven linear layers"
    yield "TFLOP/s", FLOPS


def is_correct(result):
    """All tests ran and passed, no two runs of a step differ, and recorded passes give the tokens of queued ones."""
    tests = [item["status"] == "done" and item["result"]["is_ok"] for item in result["items"] if item["part"] == 1]
    is_same = all(is_same for _, is_same, _ in repeated(result)) and is_same_recorded(result)
    return bool(tests) and all(tests) and is_same


def correctness(result):
    rows = []
    for item in done(result, 1):
        counts = item["result"]
        verdict = "passed" if counts["is_ok"] else "**FAILED**"
        cells = [item["item"], verdict, counts["passed"], counts["failed"], counts["ignored"], counts["skipped"]]
        rows.append([*cells, f"{item['seconds']:.0f}"])
    return table(["executable", "verdict", "passed", "failed", "ignored", "skipped lines", "seconds"], rows)


def ceilings(result):
    measured = next((item["result"][0] for item in done(result, 2)), None)
    if measured is None:
        return []
    rows, copy = [], measured["copy"]
    for product in measured["products"]:
        ms = f"{product['ms']:.3f} ({product['ms_p20']:.3f} to {product['ms_p80']:.3f})"
        place = [product["model"], product["tokens"], product["name"], product["direction"]]
        rows.append([*place, product["in"], product["out"], ms, f"{product['tflops']:.0f}"])
    head = ["model", "tokens", "product", "direction", "in", "out", "ms, median (p20 to p80)", "TFLOP/s"]
    load = ", ".join(f"{name} {value}" for name, value in measured.get("clocks_under_load", {}).items())
    line = f"Copying {copy['bytes'] // 2 / GIB:.2f} GiB: {copy['gb_per_second']:.0f} GB/s, bytes read and written."
    return [line, *([f"Under load: {load}."] if load else []), "", *table(head, rows)]


def cublas_rate(result, model, tokens):
    """TFLOP/s of cuBLAS over a block's products of this model, forward and backward, at the nearest token count."""
    products = [row for item in done(result, 2) for row in item["result"][0]["products"] if row["model"] == model]
    if not products:
        return None
    nearest = min({row["tokens"] for row in products}, key=lambda count: abs(count - tokens))
    products = [row for row in products if row["tokens"] == nearest]
    flops = sum(2 * nearest * row["in"] * row["out"] for row in products)
    return flops / sum(row["ms"] for row in products) / 1e9


def model_of(run):
    """Name of the shape, of ours and of PEFT's lines."""
    return (run.get("model") or run["shape"]).rstrip("/").split("/")[-1]


def our_runs(result):
    """Our steps by model, dtype, tokens and recompute level; seconds of repeated runs are put together."""
    runs = {}
    for item in done(result, 3, 6):
        for run in item["result"]:
            key = (model_of(run), run["dtype"], run["tokens"], run["recompute"])
            runs.setdefault(key, []).append(run)
    return runs


def peft_runs(result):
    """PEFT's steps that ended, by model, dtype and tokens, the fastest way first."""
    runs = {}
    for item in done(result, 4):
        for run in item["result"]:
            if "seconds" in run:
                runs.setdefault((model_of(run), run["dtype"], run["tokens"]), []).append(run)
    return {key: sorted(ways, key=lambda run: statistics.median(run["seconds"])) for key, ways in runs.items()}


def shared_cells(key, side, way, seconds, run, result):
    """Cells that both sides have, up to tokens/s, TFLOP/s and the share of cuBLAS' rate."""
    per_second = [key[2] / value for value in seconds]
    tflops = step_flops(shape(key[0]), run["documents"]) / statistics.median(seconds) / 1e12
    rate = cublas_rate(result, key[0], key[2])
    cells = [*key[:3], len(run["documents"]), side, way, spread(per_second), f"{tflops:.0f}"]
    return [*cells, rate and f"{100 * tflops / rate:.0f}%"]


def training(result):
    rows, peft = [], peft_runs(result)
    for key, runs in our_runs(result).items():
        seconds = [value for run in runs for value in run["seconds"]]
        peak, planned = max(run["peak_bytes"] for run in runs), runs[0].get("planned_bytes")
        best = peft.get(key[:3], [None])[0]
        ratio = best and f"{statistics.median(best['seconds']) / statistics.median(seconds):.2f}"
        way = f"recompute {key[3]}, {len(runs)} run{'s' if len(runs) > 1 else ''}"
        cells = shared_cells(key, "ours", way, seconds, runs[0], result)
        rows.append([*cells, f"{peak / 1e9:.2f}", planned and f"{planned / 1e9:.2f}", ratio])
    for key, ways in peft.items():
        for run in ways:
            peak = f"{run['peak_bytes'] / 1e9:.2f}" if "peak_bytes" in run else None
            rows.append([*shared_cells(key, "PEFT", peft_way(run), run["seconds"], run, result), peak, None, None])
    head = ["model", "dtype", "tokens", "documents", "side", "way", "tokens/s, median (lowest to highest)", "TFLOP/s"]
    head += ["of cuBLAS", "peak GB", "planned GB", "ours / PEFT's best"]
    return [
        *table(head, rows),
        "",
        "Tokens are the documents' own, padding is not counted. Of cuBLAS: TFLOP/s over those of cuBLAS on a block's products,"
        " measured in the same call. The ratio is of the median steps.",
    ]


def peft_way(run):
    parts = [run["way"], run["attention"], f"adapter {run['adapter']}"]
    parts += ["checkpointing"] if run["checkpointing"] else []
    return ", ".join(parts + (["Liger"] if run.get("liger") else []))


def goals(result):
    """The goals for one card of 80 GB, where both numbers of a goal were measured."""
    ours, peft, rows = our_runs(result), peft_runs(result), []

    def rate(*key):
        runs = ours.get(("mistral-7b", *key))
        return key[1] / statistics.median([s for run in runs for s in run["seconds"]]) if runs else None

    def add(what, value, goal, is_met, digits=2):
        if value is not None:
            rows.append([what, f"{value:.{digits}f}", goal, "yes" if is_met(value) else "no"])

    for tokens in (4096, 16384):
        speed, best = rate("bf16", tokens, "none"), peft.get(("mistral-7b", "bf16", tokens))
        add(f"Mistral-7B bf16, {tokens} tokens: tokens/s", speed, "at least 18000", lambda value: value >= 18000, 0)
        ratio = speed and best and speed * statistics.median(best[0]["seconds"]) / tokens
        add(f"the same over PEFT's best, {tokens} tokens", ratio, "at least 2", lambda value: value >= 2)
    nf4, bf16 = rate("nf4", 8192, "none"), rate("bf16", 8192, "none")
    add("NF4 over bf16 at 8192 tokens", nf4 and bf16 and nf4 / bf16, "at least 0.9", lambda value: value >= 0.9)
    lean = ours.get(("mistral-7b", "nf4", 4096, "block"))
    peak = lean and max(run["peak_bytes"] for run in lean) / 1e9
    add("NF4 peak GB at 4096 tokens, block recomputed", peak, "at most 8", lambda value: value <= 8)
    for key, runs in ours.items():
        planned = runs[0].get("planned_bytes")
        off = planned and 100 * abs(max(run["peak_bytes"] for run in runs) / planned - 1)
        add(f"peak off the plan, {' '.join(map(str, key))}: %", off, "at most 2", lambda value: value <= 2)
    return table(["goal", "measured", "wanted", "met"], rows)


def repeated(result):
    """Steps that ran twice: key, whether all hashes and losses are the same, and how many steps were compared."""
    for key, runs in our_runs(result).items():
        hashed = [run for run in runs if run["gradient_sha256"]]
        if len(hashed) > 1:
            facts_of = [(run["gradient_sha256"], run["losses"]) for run in hashed]
            yield key, all(fact == facts_of[0] for fact in facts_of), len(hashed[0]["gradient_sha256"])


def determinism(result):
    rows = [
        [" ".join(map(str, key)), count, "the same" if is_same else "**DIFFERENT**"]
        for key, is_same, count in repeated(result)
    ]
    return table(["step", "steps compared", "hashes of the gradients, and losses"], rows)


def kernels(result):
    found = [kernel for item in done(result, 5) for kernel in item["result"]]
    copy = next((item["result"][0]["copy"]["gb_per_second"] for item in done(result, 2)), None)
    rows = []
    for kernel in found[:KERNELS_MAX]:
        rate = kernel["bytes"] / kernel["seconds"] / 1e9
        cells = [f"`{kernel['name'][:60]}`", kernel["launches"], f"{kernel['seconds'] * 1e3:.3f}"]
        rows.append([*cells, f"{kernel['bytes'] / 1e9:.3f}", f"{rate:.0f}", copy and f"{100 * rate / copy:.0f}%"])
    head = ["kernel", "launches", "ms, all", "GB in memory, all", "GB/s", "of the copy rate"]
    rest = len(found) - len(rows)
    more = ["", f"{rest} shorter kernels are in the JSON file. Making the random weights is among them all."]
    return [*table(head, rows), *(more if rest > 0 else [])]


def lora(result):
    rows, ways = [], ["skinny", "block", "augmented", "padded"]
    for item in done(result, 7):
        measured = item["result"][0]
        place = [measured["model"], measured["tokens"], measured["rank"]]
        for row in measured["rows"]:
            base = row["ways"]["base"]
            costs = [f"{row['ways'][way]['ms'] - base['ms']:+.3f}" for way in ways]
            rows.append([*place, row["name"], row["direction"], spread(base["passes"], 3), *costs])
        sums = {way: sum(row["ways"][way]["ms"] for row in measured["rows"]) for way in ("base", *ways)}
        costs = [f"{sums[way] - sums['base']:+.3f}" for way in ways]
        rows.append([*place, "a block", "both", f"{sums['base']:.3f}", *costs])
    head = ["model", "tokens", "rank", "product", "direction", "without LoRA, ms (lowest to highest pass)"]
    return table(head + ways, rows)


def missing(result):
    """What a reader might take for measured."""
    rows = [[item["part"], item["item"], item["status"], item.get("reason")] for item in result["items"] if "reason" in item]
    for item in done(result, 4):
        for run in item["result"]:
            if "error" in run:
                rows.append([4, f"{item['item']}: {run['way']}, adapter {run['adapter']}", "failed", run["error"][:120]])
    for item in done(result, 8):
        for run in item["result"]:
            if "skipped" in run:
                what = f"{item['item']}: {run['what']}, batch {run['batch']}, context {run['context']}"
                rows.append([8, what, "skipped", run["skipped"]])
    return table(["part", "item", "status", "reason"], rows)
