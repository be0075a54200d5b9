#!/usr/bin/env python3
"""Make the golden references of this folder with transformers and PEFT.

usage: python tests/golden/make.py [OUT_DIR]        (default: this folder; packages: tests/requirements.txt)

Writes models/<name>/, lora/<name>/ and rope_inv_freq.safetensors; README.md says what each file holds. Everything runs
on the CPU in f32 with fixed seeds, one thread and eager attention. The script refuses to write references that would
prove little: it asserts that greedy decoding is not decided by rounding, that leaving out the window or the rope
scaling changes the logits, and that two correct runs agree far better than the tolerances of the tests."""

import copy
import json
import math
import os
import shutil
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import noise
import peft
import peft_rules
import torch
import transformers
from peft.optimizers import create_loraplus_optimizer
from safetensors.torch import load_file, save_file
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

VOCAB = 128
SHAPE = dict(
    vocab_size=VOCAB,
    hidden_size=32,
    intermediate_size=80,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=256,
    rms_norm_eps=1e-5,
    bos_token_id=1,
    eos_token_id=2,
    pad_token_id=None,
)
LLAMA3 = dict(
    rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32
)
# name, family, seed, tied, rope_theta, rope scaling, window, rows x tokens
MODELS = [
    ("llama-tiny", "llama", 11, False, 10000.0, None, None, (2, 32)),
    ("llama-tiny-tied", "llama", 100, True, 10000.0, None, None, (2, 32)),
    ("mistral-tiny-sw", "mistral", 13, False, 10000.0, None, 8, (2, 32)),
    ("llama3rope-tiny", "llama", 14, False, 500000.0, LLAMA3, None, (1, 64)),
]
LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
RANK, ALPHA = 4, 8
# The first pattern that matches counts: layer 0 has rank 2, but for its q_proj.
PATTERNS = dict(
    rank_pattern={"layers.0.self_attn.q_proj": 6, r"layers\.0\..*": 2, "[kv]_proj": 3},
    alpha_pattern={"1.mlp.down_proj": 3, "^model.layers.0.mlp.up_proj": 12.5, "(q|k)_proj": 5},
)
# How a run trains: the ratio of LoRA+, and the random numbers of dropout and NEFTune.
PLAIN = dict(lora_plus_ratio=None, noise=None)
LORA_PLUS = dict(PLAIN, lora_plus_ratio=16)
NOISY = dict(PLAIN, noise=dict(seed=12345678901234567890, neftune_alpha=0))
NEFTUNE = dict(PLAIN, noise=dict(seed=7, neftune_alpha=5))
DORA = dict(use_dora=True, target_modules=["k_proj", "o_proj", "gate_proj", "down_proj"])
DORA_DROPOUT = dict(use_dora=True, target_modules=["k_proj", "up_proj"], layers_to_transform=[0], lora_dropout=0.25)
# name, base, seed, rsLoRA, B starts at zero, other settings of PEFT, how it trains
ADAPTERS = [
    ("llama-lora", "llama-tiny", 21, False, False, {}, PLAIN),
    ("llama-lora-zero-init", "llama-tiny", 22, False, True, {}, PLAIN),
    ("llama-rslora", "llama-tiny", 23, True, False, {}, PLAIN),
    ("llama-tied-lora", "llama-tiny-tied", 24, False, False, {}, PLAIN),
    ("mistral-sw-lora", "mistral-tiny-sw", 25, False, False, {}, PLAIN),
    ("llama-patterns", "llama-tiny", 26, False, False, PATTERNS, PLAIN),
    ("llama-layers", "llama-tiny", 27, False, False, dict(layers_to_transform=[1]), PLAIN),
    ("llama-lora-plus", "llama-tiny", 28, False, False, dict(target_modules=["q_proj", "up_proj"]), LORA_PLUS),
    ("llama-dropout", "llama-tiny", 29, False, False, dict(lora_dropout=0.25), NOISY),
    ("llama-neftune", "llama-tiny", 30, False, False, dict(target_modules=["v_proj", "down_proj"]), NEFTUNE),
    ("llama-dora", "llama-tiny", 31, False, False, DORA, PLAIN),
    ("llama-dora-dropout", "llama-tiny", 32, False, False, DORA_DROPOUT, NOISY),
]
ROWS, TOKENS, STEPS = 2, 24, 10
GREEDY_TOKENS = 40


def load(folder, attention="eager", dtype=torch.float32, **changes):
    """A model from its folder, optionally with other config values."""
    config = transformers.AutoConfig.from_pretrained(folder)
    for key, value in changes.items():
        setattr(config, key, value)
    return transformers.AutoModelForCausalLM.from_pretrained(
        folder, config=config, dtype=dtype, attn_implementation=attention
    ).eval()


def largest(difference):
    return float(difference.abs().max())


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")


def published_config(family, tied, theta, scaling, window):
    """config.json as the Llama-2 and Mistral repositories have it: `rope_theta` beside `rope_scaling`."""
    config = dict(SHAPE, model_type=family, hidden_act="silu", torch_dtype="float32", use_cache=True)
    del config["pad_token_id"]
    config.update(rope_theta=theta, tie_word_embeddings=tied, attention_dropout=0.0, initializer_range=0.02)
    if family == "llama":
        config.update(architectures=["LlamaForCausalLM"], attention_bias=False, mlp_bias=False, rope_scaling=scaling)
    else:
        config.update(architectures=["MistralForCausalLM"], sliding_window=window)
    return config


def draw(model, tied, generator):
    """Weights large enough that attention is peaked, and norms that are not 1: a wrong part shows at once."""
    for name, weight in model.named_parameters():
        noise = torch.randn(weight.shape, generator=generator)
        if "norm" in name:
            weight.copy_(1 + 0.2 * noise)
        elif "embed" in name:
            # Tied embeddings are the head too: at full size the logits would be far too sharp.
            weight.copy_(noise * (2.0 / math.sqrt(weight.shape[1]) if tied else 1.0))
        else:
            gain = 1.6 if "q_proj" in name or "k_proj" in name else 2.0 if "lm_head" in name else 1.0
            weight.copy_(noise * (gain / math.sqrt(weight.shape[1])))


def greedy(model, prompt):
    """Argmax decoding without a cache, and the smallest gap between the best and the second-best token."""
    ids, margin = prompt.clone(), math.inf
    for _ in range(GREEDY_TOKENS):
        best = model(input_ids=ids, use_cache=False).logits[0, -1].topk(2)
        margin = min(margin, float(best.values[0] - best.values[1]))
        ids = torch.cat([ids, best.indices[:1].view(1, 1)], 1)
    cached = model.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        max_new_tokens=GREEDY_TOKENS,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=0,
    )
    assert torch.equal(cached, ids), "decoding with and without a cache differs"
    return ids[:, prompt.shape[1] :].clone(), margin


@torch.no_grad()
def make_model(out, name, family, seed, tied, theta, scaling, window, size):
    folder = out / "models" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    generator = torch.Generator().manual_seed(seed)
    rope = dict(scaling or dict(rope_type="default"), rope_theta=theta)
    settings = dict(SHAPE, tie_word_embeddings=tied, rope_parameters=rope)
    if family == "llama":
        model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**settings))
    else:
        model = transformers.MistralForCausalLM(transformers.MistralConfig(sliding_window=window, **settings))
    draw(model, tied, generator)
    model.save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)
    (folder / "generation_config.json").unlink()
    (folder / "config.json").rename(folder / "config_v5.json")
    write_json(folder / "config.json", published_config(family, tied, theta, scaling, window))
    assert ("lm_head.weight" in load_file(folder / "model.safetensors")) == (not tied)

    model = load(folder)
    ids = torch.randint(3, VOCAB, size, generator=generator)
    ids[:, 0] = 1
    labels = ids.clone()
    labels[0, :10] = -100
    labels[-1, -5:] = -100
    output = model(input_ids=ids, labels=labels, use_cache=False)
    prompt = ids[:1, : size[1] // 2].clone()
    new, margin = greedy(model, prompt)
    info = dict(
        seed=seed,
        torch=torch.__version__,
        transformers=transformers.__version__,
        loss=float(output.loss),
        logits_std=float(output.logits.std()),
        greedy_margin_min=margin,
        sdpa_differs_by=largest(load(folder, "sdpa")(input_ids=ids, use_cache=False).logits - output.logits),
    )
    # A run that repeats one token would pass with a broken cache.
    assert len(new.unique()) >= 15, f"{name}: only {len(new.unique())} different tokens in the greedy run"
    assert margin > 1e-3, f"{name}: greedy margin {margin} is too close to rounding"
    assert info["sdpa_differs_by"] < 3e-5, f"{name}: {info}"

    def changed(**changes):
        return largest(load(folder, **changes)(input_ids=ids, use_cache=False).logits - output.logits)

    shows = {}
    if window:
        shows = {"no window": changed(sliding_window=None), "window + 1": changed(sliding_window=window + 1)}
    if scaling:
        shows = {"no rope scaling": changed(rope_parameters=dict(rope_type="default", rope_theta=theta))}
    assert all(off > 1.0 for off in shows.values()), f"{name}: {shows}"
    info["without_it_logits_differ_by"] = shows
    save_file(
        dict(input_ids=ids, labels=labels, logits=output.logits.contiguous(), greedy_prompt=prompt, greedy_new=new),
        folder / "io.safetensors",
    )
    write_json(folder / "io.json", info)
    print(name, json.dumps(info))


def batches(count, generator, padded=True):
    """Random rows with an unsupervised start; the last row of a batch may end in padding (id 0, mask 0)."""
    ids = torch.randint(3, VOCAB, (count, ROWS, TOKENS), generator=generator)
    ids[:, :, 0] = 1
    labels, mask = ids.clone(), torch.ones_like(ids)
    for batch in range(count):
        for row in range(ROWS):
            start = int(torch.randint(3, TOKENS // 2, (1,), generator=generator))
            labels[batch, row, :start] = -100
        kept = TOKENS - int(torch.randint(0, 7, (1,), generator=generator)) * padded
        ids[batch, -1, kept:], labels[batch, -1, kept:], mask[batch, -1, kept:] = 0, -100, 0
    return dict(input_ids=ids, labels=labels, attention_mask=mask)


def part(batches, index):
    return {key: value[index] for key, value in batches.items()}


def trainable(model):
    """Parameters by their key in adapter_model.safetensors."""
    named = model.named_parameters()
    named = [(name.replace(".default", ""), weight) for name, weight in named if weight.requires_grad]
    # DoRA's magnitudes are saved without the name of the parameter.
    return {name.replace("_vector.weight", "_vector"): weight for name, weight in named}


def train(model, steps, how, state):
    """AdamW with a linear schedule, two warm-up steps and clipping at 1; one batch per step."""
    weights = trainable(model.train())
    settings = dict(lr=1e-3, betas=(0.9, 0.999), eps=1e-8, foreach=False, fused=False)
    if how["lora_plus_ratio"]:
        ratio = dict(loraplus_lr_ratio=how["lora_plus_ratio"], loraplus_weight_decay=0.01)
        optimizer = create_loraplus_optimizer(model, torch.optim.AdamW, **settings, **ratio)
    else:
        optimizer = torch.optim.AdamW(weights.values(), weight_decay=0.01, **settings)
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, 2, STEPS)
    losses, rates, norms = [], [], []
    for step in range(STEPS):
        rates.append(optimizer.param_groups[0]["lr"])
        state["step"] = step + 1
        loss = model(**part(steps, step), use_cache=False).loss
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(list(weights.values()), 1.0)))
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    final = {key: weight.detach().float().clone() for key, weight in weights.items()}
    return dict(losses=losses, learning_rates=rates, grad_norms_before_clipping=norms), final


def save_adapter(model, base, folder):
    model.peft_config["default"].base_model_name_or_path = f"models/{base}"
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    (folder / "adapter_model.safetensors").chmod(0o644)
    # PEFT writes the targets in the order of a set, which changes from run to run.
    config = json.loads((folder / "adapter_config.json").read_text())
    config["target_modules"].sort()
    # It sorts patterns, of which the first that matches counts when it reads them again.
    config.update({key: getattr(model.peft_config["default"], key) for key in ("rank_pattern", "alpha_pattern")})
    text = json.dumps({key: config[key] for key in sorted(config)}, indent=2)
    (folder / "adapter_config.json").write_text(text + "\n")


def other_run(out, base, folder, steps, attention, dtype, how):
    """The same training with another attention or number type: how far apart are two right answers?"""
    model = load(out / "models" / base, attention, dtype)
    model = peft.PeftModel.from_pretrained(model, folder, is_trainable=True, autocast_adapter_dtype=False)
    return train(model.to(dtype), steps, how, use_numbers(model, how))


def use_numbers(model, how):
    """The state that names the random numbers of a step; where a run draws some, they are ours."""
    if not how["noise"]:
        return {}
    state, replaced = noise.use_our_numbers(model, **how["noise"])
    layers = sum(name.endswith("lora_dropout") for name, _ in model.named_modules())
    assert how["noise"]["neftune_alpha"] or replaced == layers, replaced
    return state


def make_adapter(out, name, base, seed, rslora, zero_init, others, how):
    folder = out / "lora" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    settings = dict(r=RANK, lora_alpha=ALPHA, use_rslora=rslora, target_modules=LINEARS, lora_dropout=0.0)
    settings = peft.LoraConfig(**dict(settings, **others), task_type="CAUSAL_LM")
    model = peft.get_peft_model(load(out / "models" / base), settings)
    if not zero_init:
        with torch.no_grad():
            for key, weight in trainable(model).items():
                if "lora_B" in key:
                    weight.copy_(0.1 * torch.randn(weight.shape, generator=generator))
    save_adapter(model, base, folder / "adapter")
    start = load_file(folder / "adapter/adapter_model.safetensors")
    assert start.keys() == trainable(model).keys()

    padded = not (how["noise"] and how["noise"]["neftune_alpha"])
    first, steps = part(batches(1, generator, padded), 0), batches(STEPS, generator, padded)
    with torch.no_grad():
        logits = model.eval()(**first, use_cache=False).logits
    state = use_numbers(model, how)
    output = model.train()(**first, use_cache=False)
    assert torch.equal(output.logits, logits) != bool(how["noise"]), f"{name}: noise in evaluation, or none in training"
    output.loss.backward()
    model.eval()
    io = dict(first, logits=logits)
    io.update({f"grad.{key}": weight.grad.clone() for key, weight in trainable(model).items()})
    merged = copy.deepcopy(model).merge_and_unload(safe_merge=True)
    with torch.no_grad():
        off = merged(**first, use_cache=False).logits - io["logits"]
        bare = load(out / "models" / base)(**first, use_cache=False).logits - io["logits"]
    kept = first["attention_mask"].bool()
    assert largest(off[kept]) < 3e-5, f"{name}: merging moves the logits by {largest(off[kept])}"
    assert zero_init or largest(bare[kept]) > 1.0, f"{name}: the adapter changes too little"
    for key, weight in merged.named_parameters():
        if not zero_init and key.endswith(("layers.0.self_attn.q_proj.weight", "layers.0.mlp.down_proj.weight")):
            io[f"merged.{key}"] = weight.detach().clone()

    info = dict(
        base=f"models/{base}",
        seed=seed,
        peft=peft.__version__,
        torch=torch.__version__,
        transformers=transformers.__version__,
        scaling=ALPHA / math.sqrt(RANK) if rslora else ALPHA / RANK,
        loss_start=float(output.loss.detach()),
    )
    model.zero_grad()
    run, final = train(model, steps, how, state)
    info.update(run, **{key: value for key, value in how.items() if value})
    differing = dict(weights=0.0, losses=0.0)
    for attention, dtype in [("sdpa", torch.float32), ("eager", torch.float64)]:
        other, weights = other_run(out, base, folder / "adapter", steps, attention, dtype, how)
        differing["weights"] = max([differing["weights"]] + [largest(weights[key] - final[key]) for key in final])
        differing["losses"] = max([differing["losses"]] + [abs(a - b) for a, b in zip(other["losses"], run["losses"])])
    # The tests allow 2e-5 (1e-4 where B starts at zero) for weights and 1e-4 for losses.
    bounded = differing["weights"] < (3e-5 if zero_init else 5e-6) and differing["losses"] < 1e-5
    assert bounded, f"{name}: {differing}"
    info["two_right_runs_differ_by"] = differing
    io.update({f"steps.{key}": value for key, value in steps.items()})
    io.update({f"final.{key}": value for key, value in final.items()})
    save_file(io, folder / "io.safetensors")
    write_json(folder / "train.json", info)
    print(name, json.dumps(dict(loss_start=info["loss_start"], losses=info["losses"], noise=differing)))


def inverse_frequencies(head_width, theta, positions, scaling=None):
    rope = dict(scaling or dict(rope_type="default"), rope_theta=theta)
    config = transformers.LlamaConfig(
        hidden_size=head_width, num_attention_heads=1, max_position_embeddings=positions, rope_parameters=rope
    )
    return LlamaRotaryEmbedding(config).inv_freq.clone().float()


def make_rope(out):
    """Rotary frequencies of published models' settings."""
    long_context = dict(LLAMA3, factor=32.0, original_max_position_embeddings=8192)
    frequencies = dict(
        llama2_7b=inverse_frequencies(128, 10000.0, 4096),
        mistral_7b_v01=inverse_frequencies(128, 10000.0, 32768),
        smollm2_135m=inverse_frequencies(64, 100000.0, 8192),
        llama32_1b=inverse_frequencies(64, 500000.0, 131072, long_context),
        linear_factor4_theta10000_d128=inverse_frequencies(
            128, 10000.0, 8192, dict(rope_type="linear", factor=4.0)
        ),
    )
    save_file(frequencies, out / "rope_inv_freq.safetensors")


def main():
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for model in MODELS:
        make_model(out, *model)
    for adapter in ADAPTERS:
        make_adapter(out, *adapter)
    for check in (peft_rules.check_all_linear, peft_rules.check_lora_plus):
        check(load(out / "models/llama-tiny"), LINEARS)
    make_rope(out)


if __name__ == "__main__":
    main()
