#!/usr/bin/env python3
"""One LoRA training step with PEFT, transformers and torch on the CPU, timed as crates/model/examples/train_step.rs does.

usage: peft_step.py MODEL_DIR TOKENS STEPS {f32|bf16|autocast} [THREADS]

A step is forward, backward, clipping at norm 1 and AdamW on one sequence of random ids; rank 16 on all seven linear
layers, no dropout, sdpa attention, no gradient checkpointing. The first two steps are not counted.
  f32       base and adapter in f32
  bf16      base and activations in bf16, adapter in f32 (PEFT's default)
  autocast  base and adapter in f32 under torch.autocast to bf16
Prints one JSON line: tokens/s (median, best and worst step) and the kernel's high-water mark of resident memory, also
as it stood after the imports, before the model was loaded."""

import contextlib
import json
import os
import resource
import statistics
import sys
import time

WARM_UP = 2
LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def peak_rss_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main():
    folder, tokens, steps, mode = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    threads = int(sys.argv[5]) if len(sys.argv) > 5 else 2
    os.environ.update(HF_HUB_OFFLINE="1", OMP_NUM_THREADS=str(threads))
    # After the environment is set: torch reads it once.
    import peft
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    imports = peak_rss_mib()
    dtype = torch.bfloat16 if mode == "bf16" else torch.float32
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="sdpa")
    settings = peft.LoraConfig(r=16, lora_alpha=32, lora_dropout=0.0, target_modules=LINEARS, task_type="CAUSAL_LM")
    model = peft.get_peft_model(model, settings).train()
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=2e-4, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
    ids = torch.randint(20, model.config.vocab_size, (1, tokens))
    seconds = []
    for step in range(WARM_UP + steps):
        start = time.perf_counter()
        context = torch.autocast("cpu", torch.bfloat16) if mode == "autocast" else contextlib.nullcontext()
        with context:
            loss = model(input_ids=ids, labels=ids, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step >= WARM_UP:
            seconds.append(time.perf_counter() - start)
    result = dict(
        mode=mode,
        seq=tokens,
        steps=steps,
        tok_s=round(tokens / statistics.median(seconds), 1),
        tok_s_best=round(tokens / min(seconds), 1),
        tok_s_worst=round(tokens / max(seconds), 1),
        peak_rss_mib=peak_rss_mib(),
        imports_rss_mib=imports,
        last_loss=round(float(loss.detach()), 4),
        torch=torch.__version__,
        transformers=transformers.__version__,
        peft=peft.__version__,
    )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
