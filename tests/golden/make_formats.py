#!/usr/bin/env python3
"""Make the golden references of ggml's block formats.

usage: python tests/golden/make_formats.py LIBGGML_BASE_SO [OUT_DIR]    (default: this folder; packages: numpy, gguf)

Writes formats/; README.md says what each file holds. Numbers are quantised by ggml's own reference functions, in the
library given, and decoded by the gguf package. The script refuses blocks whose numbers are not finite."""

import ctypes
import sys
from pathlib import Path

import gguf
import numpy as np

FORMATS = ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K"]
PLAIN = ["F32", "F16", "BF16"]
RANDOM_COLUMNS = 256

# Where the f16 numbers of a block are.
HALVES = {"Q8_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q4_K": [0, 2], "Q5_K": [0, 2],
          "Q6_K": [208]}


def values():
    """256 numbers like weights, then 256 with outliers, a run of one sign and a run of zeros."""
    random = np.random.default_rng(11)
    rows = 0.02 * random.standard_normal((2, 256))
    rows[1] *= np.exp(random.standard_normal(256))
    rows[1, 64:96] = np.abs(rows[1, 64:96]) + 0.01
    rows[1, 128:160] = 0.0
    return rows.astype(np.float32)


def quantised(library, name, rows):
    if name in PLAIN:
        return gguf.quants.quantize(rows, gguf.GGMLQuantizationType[name]).tobytes()
    function = getattr(library, f"quantize_row_{name.lower().replace('_k', '_K')}_ref")
    block_len, block_bytes = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]]
    out = ctypes.create_string_buffer(rows.size // block_len * block_bytes)
    flat = np.ascontiguousarray(rows.reshape(-1))
    function(flat.ctypes.data_as(ctypes.POINTER(ctypes.c_float)), out, ctypes.c_int64(flat.size))
    return out.raw


def random_blocks(name):
    """Every bit at random, but scales of moderate size."""
    random = np.random.default_rng(12 + FORMATS.index(name))
    if name in PLAIN:
        numbers = random.standard_normal((1, RANDOM_COLUMNS)).astype(np.float32)
        return gguf.quants.quantize(numbers, gguf.GGMLQuantizationType[name]).tobytes()
    block_len, block_bytes = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]]
    blocks = random.integers(0, 256, (RANDOM_COLUMNS // block_len, block_bytes), dtype=np.uint8)
    for at in HALVES[name]:
        blocks[:, at : at + 2] = random.standard_normal((len(blocks), 1)).astype("<f2").view(np.uint8)
    return blocks.tobytes()


def main():
    library = ctypes.CDLL(sys.argv[1])
    out = (Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).resolve().parent) / "formats"
    out.mkdir(parents=True, exist_ok=True)
    rows = values()
    (out / "values.f32").write_bytes(rows.tobytes())
    for name in FORMATS:
        data = quantised(library, name, rows) + random_blocks(name)
        flat = np.frombuffer(data, np.uint8)
        flat = flat.view(np.float32) if name == "F32" else flat
        decoded = gguf.quants.dequantize(flat, gguf.GGMLQuantizationType[name])
        decoded = decoded.astype(np.float32).reshape(-1)
        assert len(decoded) == rows.size + RANDOM_COLUMNS and np.isfinite(decoded).all(), name
        error = np.square(decoded[: rows.size] - rows.reshape(-1)).sum(dtype=np.float64)
        (out / f"{name}.bin").write_bytes(data)
        (out / f"{name}.f32").write_bytes(decoded.tobytes())
        print(name, len(data), error)


if __name__ == "__main__":
    main()
