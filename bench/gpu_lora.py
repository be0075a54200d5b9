#!/usr/bin/env python3
"""Which layout makes LoRA cheapest beside a frozen weight: skinny products after the large one, or inside of it.

usage: gpu_lora.py [--device cuda] [--model mistral-7b] [--tokens 8192] [--rank 16]

Forward is y = x·Wᵀ + s·(x·Aᵀ)·Bᵀ, backward dx = dy·W + s·(dy·B)·A; bf16, products through cuBLAS.
  base       without LoRA: y = x·Wᵀ, dx = dy·W
  skinny     then a·Bᵀ is added to y in place, a = s·x·Aᵀ; one such product for each projection that shares x
  block      the same with one product: B of projections that share x is block-diagonal
  augmented  x and a lie in one buffer, W and B in one: a single product with K = in + ranks
  padded     the same, K rounded up to a multiple of 64
Prints one JSON line: of every way the medians of a few passes in ms, their median, and the error against f32, which is
checked."""

import argparse
import json
import statistics

import torch

from gpu_timing import random_matrix, relative_error, summary
from gpu_work import projections, shape

SCALE = 2.0
# bf16 operands and results; f32 sums.
ERROR_MAX = 2e-2
PASSES = 3
WAYS = ["base", "skinny", "block", "augmented", "padded"]
# How many projections share an input, with what part of the outputs each.
PARTS = {"q|k|v": 3, "o": 1, "gate|up": 2, "down": 1}


def part_widths(name, config, c_out):
    if name != "q|k|v":
        return [c_out // PARTS[name]] * PARTS[name]
    keys = config["hidden_size"] // config["num_attention_heads"] * config["num_key_value_heads"]
    return [c_out - 2 * keys, keys, keys]


class Case:
    """Matrices of one group of projections. `across` is what goes in: x forward, dy backward.

    Backward is the same work with W transposed and A and B changed over: dy (T, out) meets the block-diagonal B first
    and the stacked A last."""

    def __init__(self, tokens, c_in, widths, rank, device):
        self.tokens, self.c_in, self.c_out, self.rank, self.widths = tokens, c_in, sum(widths), rank, widths
        self.device, self.ranks = device, rank * len(widths)
        self.weight = random_matrix(self.c_out, c_in, device) * c_in**-0.5
        self.a = random_matrix(self.ranks, c_in, device) * c_in**-0.5
        self.b = torch.zeros(self.c_out, self.ranks, device=device, dtype=torch.bfloat16)
        row = 0
        for index, width in enumerate(widths):
            columns = slice(index * rank, (index + 1) * rank)
            self.b[row : row + width, columns] = random_matrix(width, rank, device) * 0.1
            row += width

    def parts(self):
        """Rows of y and ranks of each projection."""
        row = 0
        for index, width in enumerate(self.widths):
            yield slice(row, row + width), slice(index * self.rank, (index + 1) * self.rank)
            row += width

    def operands(self, direction):
        """Input width, output width, large factor (in, out), first skinny factor (in, ranks), second (ranks, out)."""
        if direction == "forward":
            return self.c_in, self.c_out, self.weight.t(), self.a.t(), self.b.t()
        return self.c_out, self.c_in, self.weight, self.b, self.a


def ways(case, direction):
    """The input, and by way the buffer of its result and what writes it."""
    wide, narrow, large, first, second = case.operands(direction)
    x = random_matrix(case.tokens, wide, case.device)
    small = torch.empty(case.tokens, case.ranks, device=case.device, dtype=torch.bfloat16)
    # Not a number until it is written.
    y = {name: torch.full_like(x[:, :1], float("nan")).repeat(1, narrow) for name in WAYS}

    def base():
        torch.mm(x, large, out=y["base"])

    def skinny():
        torch.mm(x, large, out=y["skinny"])
        if direction == "forward":
            torch.mm(x, first, out=small)
            for rows, ranks in case.parts():
                y["skinny"][:, rows].addmm_(small[:, ranks], second[ranks, rows], alpha=SCALE)
            return
        for rows, ranks in case.parts():
            torch.mm(x[:, rows], first[rows, ranks], out=small[:, ranks])
            y["skinny"].addmm_(small[:, ranks], second[ranks], alpha=SCALE)

    def block():
        torch.mm(x, large, out=y["block"])
        torch.mm(x, first, out=small)
        y["block"].addmm_(small, second, alpha=SCALE)

    runs = {"base": base, "skinny": skinny, "block": block}
    for name, multiple in (("augmented", 1), ("padded", 64)):
        runs[name] = augmented(case, direction, x, y[name], multiple)
    return x, y, runs


def augmented(case, direction, x, y, multiple):
    wide, narrow, large, first, second = case.operands(direction)
    depth = -(-(wide + case.ranks) // multiple) * multiple
    inputs = torch.zeros(case.tokens, depth, device=case.device, dtype=torch.bfloat16)
    inputs[:, :wide] = x
    # Laid out as the weight of the direction is: K runs along rows forward, along columns backward.
    factors = torch.zeros(narrow, depth, device=case.device, dtype=torch.bfloat16).t()
    if direction == "backward":
        factors = torch.zeros(depth, narrow, device=case.device, dtype=torch.bfloat16)
    factors[:wide], factors[wide : wide + case.ranks] = large, second
    # The factor on the update is folded into A or B when the adapter is written, once a step.
    scaled = (first * SCALE).contiguous() if direction == "backward" else (first.t() * SCALE).contiguous().t()

    def run():
        torch.mm(inputs[:, :wide], scaled, out=inputs[:, wide : wide + case.ranks])
        torch.mm(inputs, factors, out=y)

    return run


def measure(case, direction):
    x, y, runs = ways(case, direction)
    _, _, large, first, second = case.operands(direction)
    plain = x.float() @ large.float()
    update = (x.float() @ first.float()) @ second.float() * SCALE
    results = {}
    for name, run in runs.items():
        run()
        error = relative_error(y[name], plain if name == "base" else plain + update)
        # A result that is not a number fails too.
        if not error < ERROR_MAX:
            raise SystemExit(f"error: {direction} `{name}` is off by {error}, allowed {ERROR_MAX}")
        results[name] = {"error": error, "passes": []}
    # The ways take turns, so that a change of the card's speed falls on all.
    for _ in range(PASSES):
        for name, run in runs.items():
            results[name]["passes"].append(summary([run], case.device, seconds=0.07)["ms"])
    return {name: {**result, "ms": statistics.median(result["passes"])} for name, result in results.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--model", default="mistral-7b")
    parser.add_argument("--tokens", type=int, default=8192)
    parser.add_argument("--rank", type=int, default=16)
    args = parser.parse_args()
    torch.manual_seed(0)
    config, rows = shape(args.model), []
    for name, (c_in, c_out) in projections(config).items():
        case = Case(args.tokens, c_in, part_widths(name, config, c_out), args.rank, args.device)
        for direction in ("forward", "backward"):
            rows.append({"name": name, "direction": direction, "ways": measure(case, direction)})
    print(json.dumps({"model": args.model, "tokens": args.tokens, "rank": args.rank, "rows": rows}))


if __name__ == "__main__":
    main()
