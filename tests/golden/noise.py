"""Random numbers by counter in numpy, for references with dropout and NEFTune.

The trainer draws them in `crates/ops/src/noise.rs`; this is a second writing of the same definition, so that PEFT's
dropout and transformers' NEFTune can be given the numbers that a run of ours draws.
"""

import numpy as np
import torch

WORD = np.uint64(0xFFFFFFFF)
EMBEDDING_STREAM = 0xFFFFFFFF
# Order of `Target::ALL`.
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def split_mix(state):
    """One output of SplitMix64."""
    mask = (1 << 64) - 1
    z = (state + 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return z ^ (z >> 31)


def philox(counter, key):
    """Philox4x32-10 of arrays of 32-bit numbers held in 64 bits."""
    a, b, c, d = counter
    low, high = key
    for _ in range(10):
        left, right = np.uint64(0xD2511F53) * a, np.uint64(0xCD9E8D57) * c
        a, b, c, d = (right >> np.uint64(32)) ^ b ^ low, right & WORD, (left >> np.uint64(32)) ^ d ^ high, left & WORD
        low, high = (low + np.uint64(0x9E3779B9)) & WORD, (high + np.uint64(0xBB67AE85)) & WORD
    return a, b, c, d


def draws(seed, step, stream, rows, length, width):
    """Draws of `rows` documents named by their index, `(rows, length, width)` of 32 bits."""
    mixed = split_mix((split_mix(seed) + step) & ((1 << 64) - 1))
    key = np.uint64(mixed & 0xFFFFFFFF), np.uint64(mixed >> 32)
    groups = -(-width // 4)
    shape = (rows, length, groups)
    axes = np.ogrid[:rows, :length, :groups]
    document, position, group = (np.broadcast_to(axis, shape).astype(np.uint64) for axis in axes)
    result = philox((group, position, document, np.full(shape, stream, np.uint64)), key)
    return np.stack(result, -1).reshape(rows, length, groups * 4)[:, :, :width]


class Dropout(torch.nn.Module):
    """Takes the place of `nn.Dropout` in a LoRA layer: the same operation with our mask."""

    def __init__(self, state, stream, probability):
        super().__init__()
        self.state, self.stream, self.probability = state, stream, probability

    def forward(self, x):
        if not self.training:
            return x
        drawn = draws(self.state["seed"], self.state["step"], self.stream, *x.shape)
        kept = torch.from_numpy(drawn >= round(self.probability * 2**32)).to(x.dtype)
        return x * (kept / (1 - self.probability))


def use_our_numbers(model, seed, neftune_alpha):
    """Puts our masks into a PEFT model, and transformers' NEFTune hook with our uniform numbers.

    Returns the state whose `step` names the numbers that are drawn, and how many masks there are.
    """
    from transformers.integrations.neftune import neftune_post_forward_hook

    state, replaced = dict(seed=seed, step=0), 0
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Dropout) and "lora_dropout" in name:
            layer, target = int(name.split(".layers.")[1].split(".")[0]), name.split(".")[-3]
            stream = layer * len(TARGETS) + TARGETS.index(target)
            model.get_submodule(name.rpartition(".")[0])["default"] = Dropout(state, stream, module.p)
            replaced += 1
    if neftune_alpha:
        embedding = model.get_input_embeddings()
        embedding.neftune_noise_alpha = neftune_alpha

        def hook(module, arguments, output):
            plain = torch.Tensor.uniform_

            def uniform(tensor, low, high):
                drawn = draws(state["seed"], state["step"], EMBEDDING_STREAM, *tensor.shape)
                unit = torch.from_numpy((drawn >> np.uint64(8)).astype(np.float64) / 2**24).to(tensor.dtype)
                return tensor.copy_(low + (high - low) * unit)

            torch.Tensor.uniform_ = uniform
            try:
                return neftune_post_forward_hook(module, arguments, output)
            finally:
                torch.Tensor.uniform_ = plain

        embedding.register_forward_hook(hook)
    return state, replaced
