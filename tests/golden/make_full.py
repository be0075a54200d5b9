#!/usr/bin/env python3
"""Make the golden references of full fine-tuning with transformers, from the models of this folder.

usage: python tests/golden/make_full.py [OUT_DIR]   (default: this folder; packages: tests/requirements.txt)

Writes full/<name>/; README.md says what each file holds. As make.py: on the CPU in f32 with fixed seeds, one thread and
eager attention, and it refuses to write references on which two right runs of torch do not agree."""

import json
import os
import shutil
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers
from make import STEPS, batches, largest, load, part, write_json
from safetensors.torch import save_file

# name, model, seed, whether the head is tied though the model's own is not
CASES = [
    ("llama", "llama-tiny", 41, False),
    ("llama-tied", "llama-tiny-tied", 42, False),
    ("mistral", "mistral-tiny-sw", 43, False),
    ("mistral-tied", "mistral-tiny-sw", 44, True),
]
# Of each tensor every 13th entry is kept: no width is a multiple of it, so that every row and column has some.
STRIDE = 13
RATE, DECAY = 1e-3, 0.01


def sampled(tensor):
    return tensor.detach().float().flatten()[::STRIDE].clone()


def weights(model):
    """Every tensor once, by its name in model.safetensors."""
    return dict(model.named_parameters())


def train(model, steps):
    """AdamW with a linear schedule, two warm-up steps and clipping at 1; norms do not decay, as in transformers' Trainer."""
    named = weights(model.train())
    groups = [
        dict(params=[weight for name, weight in named.items() if "norm" not in name], weight_decay=DECAY),
        dict(params=[weight for name, weight in named.items() if "norm" in name], weight_decay=0.0),
    ]
    optimizer = torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.999), eps=1e-8, foreach=False, fused=False)
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, 2, STEPS)
    losses, rates, norms = [], [], []
    for step in range(STEPS):
        rates.append(optimizer.param_groups[0]["lr"])
        loss = model(**part(steps, step), use_cache=False).loss
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(list(named.values()), 1.0)))
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    final = {name: weight.detach().float().clone() for name, weight in named.items()}
    return dict(losses=losses, learning_rates=rates, grad_norms_before_clipping=norms), final


def start_of(folder, tied, *how):
    """The model; with `tied` its head is the embedding, whatever the file has."""
    model = load(folder, *how, **(dict(tie_word_embeddings=True) if tied else {}))
    if tied:
        model.lm_head.weight = model.model.embed_tokens.weight
    assert ("lm_head.weight" in weights(model)) != model.config.tie_word_embeddings
    return model


def make(out, name, base, seed, tied):
    folder = out / "full" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    generator = torch.Generator().manual_seed(seed)
    start = lambda *how: start_of(out / "models" / base, tied, *how)
    first, steps = part(batches(1, generator), 0), batches(STEPS, generator)
    model = start()
    output = model.train()(**first, use_cache=False)
    output.loss.backward()
    io = {key: value.to(torch.int32) for key, value in first.items()}
    io.update({f"grad.{key}": sampled(weight.grad) for key, weight in weights(model).items()})
    info = dict(
        base=f"models/{base}",
        tied=model.config.tie_word_embeddings,
        seed=seed,
        stride=STRIDE,
        weight_decay=DECAY,
        torch=torch.__version__,
        transformers=transformers.__version__,
        loss_start=float(output.loss.detach()),
        grad_norms={key: float(weight.grad.double().norm()) for key, weight in weights(model).items()},
    )
    run, final = train(start(), steps)
    info.update(run)
    differing = dict(weights=0.0, losses=0.0)
    for how in [("sdpa", torch.float32), ("eager", torch.float64)]:
        other, values = train(start(*how), steps)
        differing["weights"] = max([differing["weights"]] + [largest(values[key] - final[key]) for key in final])
        differing["losses"] = max([differing["losses"]] + [abs(a - b) for a, b in zip(other["losses"], run["losses"])])
    assert differing["losses"] < 1e-5, f"{name}: {differing}"
    info["two_right_runs_differ_by"] = differing
    io.update({f"steps.{key}": value.to(torch.int32) for key, value in steps.items()})
    io.update({f"final.{key}": sampled(value) for key, value in final.items()})
    save_file(io, folder / "io.safetensors")
    (folder / "io.safetensors").chmod(0o644)
    write_json(folder / "train.json", info)
    print(name, json.dumps(dict(losses=info["losses"], two_right_runs_differ_by=differing)))


def main():
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for case in CASES:
        make(out, *case)


if __name__ == "__main__":
    main()
