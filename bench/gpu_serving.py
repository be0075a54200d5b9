"""Tables of the model that serves, out of the records of the GPU benchmark."""

from gpu_tables import done, table


def runs(result, what):
    """Lines of this kind that measured something, with the model's name."""
    for item in done(result, 8):
        model = item["item"].split()[1]
        yield from ((model, run) for run in item["result"] if run["what"] == what and "skipped" not in run)


def copy_rate(result):
    """Bytes per second of the card's copy, read and written, of the same call."""
    return next((item["result"][0]["copy"]["gb_per_second"] * 1e9 for item in done(result, 2)), None)


def is_same_recorded(result):
    return all(run["same_tokens"] for _, run in runs(result, "decode"))


def rates(run, result):
    """GB/s, and its share of the copy rate."""
    copy = copy_rate(result)
    return [f"{run['bytes_per_s'] / 1e9:.0f}", copy and f"{100 * run['bytes_per_s'] / copy:.0f}%"]


def decoding(result):
    rows = []
    for model, run in runs(result, "decode"):
        same = "the same" if run["same_tokens"] else "**DIFFERENT**"
        cells = [model, run["weights"], run["batch"], run["context"], f"{run['tokens_per_s']:.0f}"]
        cells += [f"{run['recorded_ms']:.3f}", f"{run['queued_ms']:.3f}", same]
        rows.append([*cells, f"{run['bytes'] / 1e9:.2f}", *rates(run, result)])
    head = ["model", "weights", "batch", "context", "tokens/s", "ms recorded", "ms queued", "tokens of both"]
    note = "Bytes: all weights but the embedding, and the keys and values that are read. Medians; tokens are chosen on the card."
    lines = table([*head, "GB a pass", "GB/s", "of the copy rate"], rows)
    return [*lines, "", note] if lines else []


def prompts(result):
    rows = [
        [model, run["weights"], run["tokens"], f"{run['ms']:.1f}", f"{run['tokens_per_s']:.0f}"]
        for model, run in runs(result, "prompt")
    ]
    return table(["model", "weights", "tokens", "ms", "tokens/s"], rows)


def products(result):
    rows = []
    for model, run in runs(result, "product"):
        cells = [model, run["weights"], run["shape"], f"{run['n']} x {run['k']}", run["rows"], f"{run['us']:.1f}"]
        rows.append([*cells, *rates(run, result)])
    return table(["model", "weights", "product", "weight", "rows", "us", "GB/s", "of the copy rate"], rows)
