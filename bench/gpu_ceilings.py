#!/usr/bin/env python3
"""What the card gives at most: copying in its memory, and cuBLAS on the shapes of the models.

usage: gpu_ceilings.py [--device cuda] [--models mistral-7b,llama2-7b] [--tokens 4096,8192,16384] [--copy-mib 2048]

Prints one JSON line. Products are bf16 with random entries: `forward` is x (T, in) times a weight (out, in)
transposed, `backward` is dy (T, out) times the weight. A product counts 2·T·in·out operations; a copy counts bytes
read and bytes written."""

import argparse
import json
import subprocess

import torch

from gpu_timing import random_matrix, summary
from gpu_work import projections, shape


def copy_rate(mebibytes, device):
    count = mebibytes * 2**20
    source = torch.randint(0, 255, (count,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    times = summary([lambda: target.copy_(source)], device)
    return {**times, "bytes": 2 * count, "gb_per_second": 2 * count / times["ms"] / 1e6}


def product(tokens, c_in, c_out, direction, device):
    weights = [random_matrix(c_out, c_in, device) for _ in range(2)]
    x = random_matrix(tokens, c_in if direction == "forward" else c_out, device)
    y = torch.empty(tokens, c_out if direction == "forward" else c_in, device=device, dtype=torch.bfloat16)

    def call(weight):
        return lambda: torch.mm(x, weight.t() if direction == "forward" else weight, out=y)

    times = summary([call(weight) for weight in weights], device)
    return {**times, "tflops": 2 * tokens * c_in * c_out / times["ms"] / 1e9}


def clocks_under_load(seconds=2):
    """What nvidia-smi says while products run."""
    x = random_matrix(8192, 8192, "cuda")
    y = torch.empty_like(x)
    # About 1.5 ms each on a card of 800 TFLOP/s, longer on others.
    for _ in range(int(seconds / 1.5e-3)):
        torch.mm(x, x, out=y)
    fields = ["clocks.sm", "clocks.mem", "power.draw", "temperature.gpu"]
    query = ["nvidia-smi", "--id=0", f"--query-gpu={','.join(fields)}", "--format=csv,noheader"]
    output = subprocess.run(query, stdout=subprocess.PIPE, text=True, timeout=30).stdout
    torch.cuda.synchronize()
    return dict(zip(fields, (field.strip() for field in output.split(","))))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--models", default="mistral-7b,llama2-7b")
    parser.add_argument("--tokens", default="4096,8192,16384")
    parser.add_argument("--copy-mib", type=int, default=2048)
    args = parser.parse_args()
    torch.manual_seed(0)
    products = []
    for model in args.models.split(","):
        for tokens in map(int, args.tokens.split(",")):
            for name, (c_in, c_out) in projections(shape(model)).items():
                for direction in ("forward", "backward"):
                    place = dict(model=model, tokens=tokens, name=name, direction=direction)
                    products.append({**place, "in": c_in, "out": c_out, **product(tokens, c_in, c_out, direction, args.device)})
    result = {"copy": copy_rate(args.copy_mib, args.device), "products": products, "torch": torch.__version__}
    if args.device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        result["card"] = {
            "name": properties.name,
            "multiprocessors": properties.multi_processor_count,
            "compute_capability": f"{properties.major}.{properties.minor}",
            "memory_bytes": properties.total_memory,
        }
        result["cuda"] = torch.version.cuda
        result["clocks_under_load"] = clocks_under_load()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
