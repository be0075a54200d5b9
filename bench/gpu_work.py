"""What the GPU benchmark measures with: shapes of the models, lengths of the documents, operations of a step.

Both sides of a comparison and every rate in a result take these from here."""

import json
import random
from pathlib import Path

SHAPES = Path(__file__).resolve().parent / "shapes"
LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
RANK = 16
# Of the logarithm of a length: most documents then lie between half and twice the mean.
SPREAD = 0.6


def shape(name):
    """The numbers of a published config.json."""
    return json.loads((SHAPES / name / "config.json").read_text())


def documents(tokens, mean=1000, seed=1):
    """Lengths of about `tokens / mean` documents, log-normal, `tokens` in all; the same on every machine."""
    count = max(1, round(tokens / mean))
    draws = random.Random(seed)
    weights = [draws.lognormvariate(0.0, SPREAD) for _ in range(count)]
    lengths = [max(2, int(tokens * weight / sum(weights))) for weight in weights]
    # What rounding left over.
    lengths[-1] += tokens - sum(lengths)
    return lengths


def projections(config):
    """Input and output width of a block's products: queries, keys and values are one, gate and up are one."""
    hidden, middle = config["hidden_size"], config["intermediate_size"]
    width = hidden // config["num_attention_heads"]
    queries, keys = width * config["num_attention_heads"], width * config["num_key_value_heads"]
    return {
        "q|k|v": (hidden, queries + 2 * keys),
        "o": (queries, hidden),
        "gate|up": (hidden, 2 * middle),
        "down": (middle, hidden),
    }


def step_flops(config, lengths):
    """Operations that a LoRA step cannot do without.

    A frozen weight costs 2 operations per entry and token forward and 2 for the gradient of its input. Attention costs
    4 per pair of tokens and channel forward (two products) and 10 backward (five); a pair is a token and one it sees.
    The head works on tokens that predict another. The adapter's own products, norms and recomputing are not counted:
    a share of the card's rate then says what all of that costs."""
    linear = sum(c_in * c_out for c_in, c_out in projections(config).values()) * config["num_hidden_layers"]
    head = config["hidden_size"] * config["vocab_size"]
    tokens, window = sum(lengths), config.get("sliding_window") or max(lengths)
    pairs = sum(min(position + 1, window) for length in lengths for position in range(length))
    attention = 14 * pairs * config["hidden_size"] * config["num_hidden_layers"]
    return 4 * linear * tokens + 4 * head * (tokens - len(lengths)) + attention


def percentile(values, share):
    """The value below which `share` of them lie, without interpolation."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
