#!/usr/bin/env python3
"""Make the golden references of NF4 with bitsandbytes.

usage: python tests/golden/make_nf4.py [OUT_DIR]    (default: this folder; packages: torch, safetensors, bitsandbytes)

Writes nf4/<name>.safetensors; README.md says what each file holds. bitsandbytes runs without its native library, by
its portable code: exact arithmetic and the nearest of the 256 scale levels. Its native code for the CPU first rounds a
scale to one of 65536 steps, its CUDA kernels take reciprocals that are nearly right. The script refuses to write
references that prove little: it asserts the error of the rounding, and a second group of scales in the largest case."""

import ctypes
import os
import sys
from pathlib import Path
from unittest import mock

os.environ["TORCHDYNAMO_DISABLE"] = "1"

import torch
from safetensors.torch import save_file

with mock.patch.object(ctypes.cdll, "LoadLibrary", side_effect=OSError("the portable code is wanted")):
    import bitsandbytes
    from bitsandbytes import functional

# Values whose dequantised form is kept: the end of each matrix, where blocks and groups run out.
KEPT = 128


def normal(rows, columns, seed, deviation):
    return deviation * torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


def with_outliers():
    """Outliers of 1000 deviations, a block of zeros, a block of one sign, and one whose scale is subnormal."""
    weight = normal(8, 64, 5, 0.02)
    weight[0, 3], weight[1, 63], weight[4, 0] = 20.0, -30.0, 1.5
    weight[3] = weight[3].abs()
    weight[6] *= 1e-38
    weight[7] = 0.0
    return weight


def with_ties():
    """Values halfway between two codes, and their neighbours on both sides, at two scales."""
    values = functional.get_4bit_type("nf4", device="cpu")
    halfway = (values[:-1] + values[1:]) / 2
    above, below = (torch.nextafter(halfway, torch.tensor(side)) for side in (2.0, -2.0))
    block = torch.cat([torch.tensor([1.0]), halfway, above, below, values, torch.tensor([0.5, -0.5])])
    return torch.stack([block, 0.125 * block])


def with_divisions():
    """A whole and a short block of the same values, whose codes differ between a product and a quotient."""
    values = functional.get_4bit_type("nf4", device="cpu")
    halfway = (values[:-1] + values[1:]) / 2
    largest = 1 + torch.rand(1000, 1, generator=torch.Generator().manual_seed(6))
    near = largest * halfway
    near = torch.cat([near, torch.nextafter(near, 9 * near), torch.nextafter(near, 0 * near)], 1)
    differs = (near / largest > halfway.repeat(3)) != (near * (1 / largest) > halfway.repeat(3))
    best = int(differs.sum(1).argmax())
    assert int(differs[best].sum()) >= 5
    block = torch.cat([largest[best], near[best], torch.zeros(18)])
    return torch.cat([block, block[:63]]).reshape(1, -1)


CASES = dict(
    # 258 blocks: the second group of scales has two, the last block 62 values.
    bf16_two_groups=normal(127, 130, 1, 0.02).bfloat16(),
    f32_short_block=normal(7, 30, 2, 1.0),
    f32_odd_count=normal(3, 43, 3, 0.05),
    bf16_small=normal(6, 48, 4, 0.3).bfloat16(),
    f32_outliers=with_outliers(),
    f32_ties=with_ties(),
    f32_divisions=with_divisions(),
    f32_zeros=torch.zeros(3, 43),
    f32_one_value=torch.full((1, 1), -0.25),
)


def save(tensors, path):
    save_file(tensors, path)
    path.chmod(0o644)


def dequantised(codes, state, dtype):
    state.dtype = dtype
    return functional.dequantize_4bit(codes, state, quant_type="nf4").flatten()


def make_case(out, name, weight):
    codes, state = functional.quantize_4bit(weight, blocksize=64, compress_statistics=True, quant_type="nf4")
    full, half = (dequantised(codes, state, dtype) for dtype in (torch.float32, torch.bfloat16))
    assert torch.isfinite(full).all() and torch.equal(full.bfloat16(), half)
    flat = weight.float().flatten()
    if len(flat) > 10000:
        error = float((full - flat).square().mean().sqrt() / flat.square().mean().sqrt())
        assert 0.08 < error < 0.1, f"{name}: error {error}"
        assert len(state.state2.absmax) > 1 and len(state.absmax.unique()) > 50
    tensors = dict(
        weight=weight,
        codes=codes.flatten(),
        scales=state.absmax,
        scale_of_scales=state.state2.absmax,
        offset=state.offset.reshape(1),
        f32=full[-KEPT:].clone(),
        bf16=half[-KEPT:].clone(),
    )
    save(tensors, out / f"{name}.safetensors")
    print(name, list(weight.shape), float(state.offset))


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent
    out = folder / "nf4"
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, bitsandbytes {bitsandbytes.__version__}")
    for name, weight in CASES.items():
        make_case(out, name, weight)
    tables = dict(values=functional.get_4bit_type("nf4", device="cpu"), levels=functional.create_dynamic_map())
    save(tables, out / "tables.safetensors")


if __name__ == "__main__":
    main()
