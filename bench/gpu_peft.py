#!/usr/bin/env python3
"""LoRA steps of PEFT, transformers and torch on random weights of a known shape, in every way that may be its best.

usage: gpu_peft.py SHAPE DOCUMENTS.json [DOCUMENTS.json ...] [--dtype bf16|nf4] [--ways packed,padded] [--layers N]
                   [--steps 4] [--warmup 2] [--rank 16] [--device cuda] [--seconds 120]

SHAPE is a folder of bench/shapes, DOCUMENTS.json a list of lengths. A step is forward, backward, clipping at norm 1 and
AdamW (fused) on documents of random ids, every token but a document's first supervised. Each list is tried as
  packed   one row without padding; flash attention over the documents: the package flash-attn where installed, else
           the same kernel as torch has it
  padded   one row per document, padded at its end, causal flash attention (what follows a token never reaches it)
  masked   one row, transformers' own mask for packed rows (sdpa)
with the adapter in bf16 and in f32 under autocast, with Liger's kernels too where they are installed. nf4 needs
bitsandbytes. When memory runs out, the way is tried again with gradient checkpointing. Prints one JSON line for each
measurement as it is made, and starts none after `--seconds`."""

import argparse
import contextlib
import importlib.util
import inspect
import json
import sys
import time

import torch

from gpu_work import LINEARS, RANK, SHAPES

ADAPTERS = ["bf16", "f32"]


def installed(name):
    return importlib.util.find_spec(name) is not None


def varlen_attention(module, query, key, value, mask, scaling=None, cu_seq_lens_q=None, max_length_q=None, **_):
    """Torch's own flash attention over documents that lie end to end, in the form that transformers calls."""
    from torch.nn.attention.varlen import varlen_attn

    accepts = inspect.signature(varlen_attn).parameters
    query, key, value = (tensor[0].transpose(0, 1) for tensor in (query, key, value))
    options = {"window_size": (-1, 0)} if "window_size" in accepts else {"is_causal": True}
    if "scale" in accepts:
        options["scale"] = scaling
    elif scaling != query.shape[-1] ** -0.5:
        raise ValueError(f"this torch scales by the head's width only, not by {scaling}")
    if "enable_gqa" in accepts:
        options["enable_gqa"] = True
    elif key.shape[1] != query.shape[1]:
        key, value = (tensor.repeat_interleave(query.shape[1] // key.shape[1], dim=1) for tensor in (key, value))
    y = varlen_attn(query, key, value, cu_seq_lens_q, cu_seq_lens_q, max_length_q, max_length_q, **options)
    return y.unsqueeze(0), None


def attention(way):
    """transformers' name of the attention of a way."""
    if way != "packed":
        return "sdpa"
    if installed("flash_attn"):
        return "flash_attention_2"
    from transformers import AttentionInterface

    AttentionInterface.register("torch_varlen", varlen_attention)
    return "torch_varlen"


def build(args):
    """The model with its adapter in f32, weights random, on the device."""
    import peft
    import transformers

    transformers.utils.logging.set_verbosity_error()
    torch.manual_seed(0)
    config = transformers.AutoConfig.from_pretrained(SHAPES / args.shape)
    if args.layers:
        config.num_hidden_layers = args.layers
    with torch.device(args.device):
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16, attn_implementation="sdpa")
    if args.dtype == "nf4":
        quantise(model, args.device)
    settings = peft.LoraConfig(
        r=args.rank, lora_alpha=2 * args.rank, lora_dropout=0.0, target_modules=LINEARS, task_type="CAUSAL_LM"
    )
    return peft.get_peft_model(model, settings).to(args.device).train()


def quantise(model, device):
    """Puts bitsandbytes' NF4 layers, double quantisation, in place of the blocks' linear layers."""
    import bitsandbytes

    for name, module in list(model.named_modules()):
        for child, linear in list(module.named_children()):
            if child not in LINEARS:
                continue
            layer = bitsandbytes.nn.Linear4bit(
                linear.in_features, linear.out_features, bias=False, compute_dtype=torch.bfloat16, quant_type="nf4"
            )
            layer.weight = bitsandbytes.nn.Params4bit(
                linear.weight.data, requires_grad=False, quant_type="nf4", compress_statistics=True, module=layer
            )
            setattr(module, child, layer.to(device))


def inputs(way, lengths, vocabulary, device):
    """Arguments of the model; ids are the same for every way."""
    generator = torch.Generator().manual_seed(1)
    ids = [torch.randint(20, vocabulary, (length,), generator=generator) for length in lengths]
    labels = [torch.cat([torch.tensor([-100]), document[1:]]) for document in ids]
    if way == "padded":
        pad = lambda rows, value: torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=value).to(device)
        return {"input_ids": pad(ids, 0), "labels": pad(labels, -100)}
    row = lambda parts: torch.cat(parts).unsqueeze(0).to(device)
    arguments = {
        "input_ids": row(ids),
        "labels": row(labels),
        "position_ids": row([torch.arange(length) for length in lengths]),
    }
    if way == "packed":
        ends = torch.tensor([0, *lengths]).cumsum(0).to(device=device, dtype=torch.int32)
        longest = max(lengths)
        arguments.update(cu_seq_lens_q=ends, cu_seq_lens_k=ends, max_length_q=longest, max_length_k=longest)
    return arguments


def steps(args, model, arguments, adapter):
    """Seconds of each timed step, and the losses of all."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=2e-4, weight_decay=0.01, fused=True)
    seconds, losses = [], []
    for step in range(args.warmup + args.steps):
        with timed(args.device, seconds if step >= args.warmup else []):
            autocast = torch.autocast(args.device, torch.bfloat16) if adapter == "f32" else contextlib.nullcontext()
            with autocast:
                loss = model(**arguments, use_cache=False).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        losses.append(float(loss.detach()))
    return seconds, losses


@contextlib.contextmanager
def timed(device, seconds):
    """Appends the seconds that the body takes, by the card's events."""
    if device == "cpu":
        start = time.perf_counter()
        yield
        seconds.append(time.perf_counter() - start)
        return
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    yield
    end.record()
    end.synchronize()
    seconds.append(start.elapsed_time(end) / 1000)


def measure(args, model, way, adapter, lengths):
    """One way with one list of documents; with checkpointing when memory runs out without."""
    model.get_base_model().set_attn_implementation(attention(way))
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            weight.data = weight.data.to(torch.bfloat16 if adapter == "bf16" else torch.float32)
            # PEFT's own start, so that the first loss is the same for every way.
            weight.data.mul_(0.0 if "lora_B" in name else 1.0)
    arguments = inputs(way, lengths, model.config.vocab_size, args.device)
    result = {"shape": args.shape, "dtype": args.dtype, "way": way, "adapter": adapter, "tokens": sum(lengths)}
    rows_by_columns = list(arguments["input_ids"].shape)
    result.update(documents=lengths, rank=args.rank, rows_by_columns=rows_by_columns, attention=attention(way))
    for checkpointing in (False, True):
        if checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        else:
            model.gradient_checkpointing_disable()
        model.zero_grad(set_to_none=True)
        if args.device == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        try:
            seconds, losses = steps(args, model, arguments, adapter)
        except torch.OutOfMemoryError:
            continue
        if args.device == "cuda":
            result["peak_bytes"] = torch.cuda.max_memory_allocated()
            result["peak_reserved_bytes"] = torch.cuda.max_memory_reserved()
        return {**result, "checkpointing": checkpointing, "seconds": seconds, "losses": losses}
    return {**result, "error": "out of memory, with gradient checkpointing too"}


def parsed():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape")
    parser.add_argument("documents", nargs="+")
    parser.add_argument("--dtype", default="bf16", choices=["bf16", "nf4"])
    parser.add_argument("--ways", default="packed,padded")
    parser.add_argument("--adapters", default=",".join(ADAPTERS))
    parser.add_argument("--layers", type=int)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--rank", type=int, default=RANK)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--seconds", type=float, default=120)
    return parser.parse_args()


def main():
    args, start = parsed(), time.monotonic()
    if args.dtype == "nf4" and not installed("bitsandbytes"):
        raise SystemExit("skipped: bitsandbytes is not installed")
    model = build(args)
    kernels = [False, True] if installed("liger_kernel") and args.device == "cuda" else [False]
    for liger in kernels:
        if liger:
            from liger_kernel.transformers import _apply_liger_kernel_to_instance

            _apply_liger_kernel_to_instance(model=model.get_base_model())
        for path in args.documents:
            lengths = json.load(open(path, encoding="utf-8"))
            for adapter in args.adapters.split(","):
                for way in args.ways.split(","):
                    if time.monotonic() - start > args.seconds:
                        sys.exit(0)
                    result = attempt(args, model, way, adapter, lengths)
                    print(json.dumps({**result, "liger": liger}), flush=True)


def attempt(args, model, way, adapter, lengths):
    """A way that this torch or card does not have is a line in the result, not the end of the others."""
    try:
        return measure(args, model, way, adapter, lengths)
    except (ImportError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        place = dict(shape=args.shape, dtype=args.dtype, way=way, adapter=adapter, tokens=sum(lengths))
        return {**place, "error": f"{type(error).__name__}: {str(error)[:300]}"}


if __name__ == "__main__":
    main()
