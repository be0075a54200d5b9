#!/usr/bin/env python3
"""Check that PEFT and transformers load what this project exports, and compute the same.

usage: python tests/export_check.py                       every export it can find, see below
       python tests/export_check.py RUN_DIR               a training run: RUN_DIR/adapter and RUN_DIR/merged
       python tests/export_check.py BASE ADAPTER MERGED   three folders

Packages: tests/requirements.txt. Without arguments it exports each adapter of tests/golden/lora with our code into a
temporary folder and checks those, then a run on a base model that gets new tokens, then checkpoints/runs/quickstart where
it exists. Our side is three small examples and the trainer, run through `cargo run --release`; set CODEACT_EXAMPLES to a
folder of built examples and CODEACT_TRAIN to a built trainer to skip cargo.

For every export, in f32 on the CPU:
  * PEFT finds each tensor of the adapter file in the model, with its values, and nothing else is trainable
  * PEFT's logits on the base equal ours with the adapter
  * our merged weights equal PEFT's own merge, rounded to the same type; every other weight equals the base
  * transformers' logits of the merged folder equal ours
  * where there is a tokenizer: AutoTokenizer renders and encodes conversations exactly as we do, and its end token is
    among those that end generation
Exit code: 0 all equal, 1 something differs, 2 wrong arguments."""

import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import grown
import peft
import torch
import transformers
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file

REPOSITORY = Path(__file__).resolve().parent.parent
# Sums run in another order. Of the largest logit of a prompt: two attentions of torch differ by about 2e-6 on the tiny
# models; thirty layers of SmolLM2 measured up to 4.8e-5, and another processor adds in yet another order.
LOGITS_RELATIVE = 2e-4
# One addition and one product of rank r in f32, of the largest weight of a matrix.
MERGED_F32 = 1e-6
# Nearly equal f32 sums can fall on two sides of a rounding boundary: one step of bf16 (8 bits), and rarely.
MERGED_BF16_STEP = 2.0**-7
MERGED_BF16_SHARE = 1e-3

CONVERSATIONS = [
    [{"role": "user", "content": "What is 17 * 23?"}],
    [
        {"role": "system", "content": "Solve tasks by running Python."},
        {"role": "user", "content": "Add the numbers 3, 5 and 8.\n  Then halve the sum."},
        {"role": "assistant", "content": "I add them.\n<execute>\nprint((3 + 5 + 8) / 2)\n</execute>"},
        {"role": "user", "content": "Observation:\n8.0"},
        {"role": "assistant", "content": "The result is <solution>8.0</solution>"},
    ],
    [
        {"role": "user", "content": "Grüße! 你好 \N{GRINNING FACE}"},
        {"role": "assistant", "content": "Hello!"},
        {"role": "user", "content": "x = {'a': [1, 2]}  # naïve"},
    ],
]


class Differs(Exception):
    """Two sides that must agree do not."""


def check(condition, message):
    if not condition:
        raise Differs(message)


def ours(package, example, *args):
    """Run one of our examples and return what it prints."""
    built = os.environ.get("CODEACT_EXAMPLES")
    cargo = ["cargo", "run", "--release", "--quiet", "--package", package, "--example", example, "--"]
    command = [str(Path(built) / example)] if built else cargo
    result = subprocess.run([*command, *map(str, args)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    check(result.returncode == 0, f"our example `{example}` failed with exit code {result.returncode}")
    return result.stdout


def trainer():
    built = os.environ.get("CODEACT_TRAIN")
    return [str(Path(built).resolve())] if built else ["cargo", "run", "--release", "--quiet", "--bin", "codeact-train", "--"]


def our_logits(model, prompts, adapter=None):
    with tempfile.TemporaryDirectory() as folder:
        ids, out = Path(folder) / "ids.json", Path(folder) / "logits.safetensors"
        ids.write_text(json.dumps(prompts))
        flags = ["--adapter", adapter.resolve()] if adapter else []
        ours("codeact-model", "logits", model.resolve(), ids, out, *flags)
        tensors = load_file(out)
        return [tensors[f"logits.{index}"] for index in range(len(prompts))]


@torch.no_grad()
def their_logits(model, prompts):
    return [model(input_ids=torch.tensor([prompt]), use_cache=False).logits[0] for prompt in prompts]


def compare_logits(what, ours, theirs):
    worst = 0.0
    for a, b in zip(ours, theirs, strict=True):
        check(a.shape == b.shape, f"{what}: shape {tuple(a.shape)} and {tuple(b.shape)}")
        off = float((a - b).abs().max() / b.abs().max())
        check(off < LOGITS_RELATIVE, f"{what}: logits off by {off:.1e} of the largest, allowed {LOGITS_RELATIVE:.0e}")
        worst = max(worst, off)
    print(f"  {what}: logits differ by at most {worst:.1e} of the largest")


def load(folder):
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True
    )
    for key in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        check(not info[key], f"`{folder}`: {key} {sorted(info[key])}")
    return model.eval()


def compare_adapter(model, folder):
    """PEFT puts missing tensors down as a warning, so compare what it holds with the file."""
    saved = load_file(folder / "adapter_model.safetensors")
    # Of resized tables PEFT gives the base's rows as well.
    held = {key: value for key, value in get_peft_model_state_dict(model).items() if "base_layer" not in key}
    check(held.keys() == saved.keys(), f"adapter keys differ: {sorted(held.keys() ^ saved.keys())[:4]}")
    for key, value in saved.items():
        check(torch.equal(held[key].float(), value.float()), f"adapter tensor `{key}` was not loaded as it is saved")
    print(f"  PEFT holds the {len(saved)} tensors of the adapter")


def stored_weights(folder):
    files = sorted(folder.glob("model*.safetensors"))
    check(files, f"`{folder}` has no model*.safetensors")
    return {name: tensor for file in files for name, tensor in load_file(file).items()}


def compare_merged(model, base_folder, merged_folder):
    theirs = model.merge_and_unload(safe_merge=True).state_dict()
    base, merged = stored_weights(base_folder), stored_weights(merged_folder)
    check(base.keys() == merged.keys(), f"weights differ by name: {sorted(base.keys() ^ merged.keys())[:4]}")
    other = 0
    for name, weight in merged.items():
        check(weight.dtype == base[name].dtype, f"`{name}` is {weight.dtype}, in the base {base[name].dtype}")
        want = theirs[name].to(weight.dtype).float()
        off = (weight.float() - want).abs()
        if weight.dtype == torch.float32:
            check(float(off.max()) <= MERGED_F32 * float(want.abs().max()), f"merged `{name}` off by {float(off.max())}")
        else:
            # Near zero a step of bf16 is smaller than what f32 sums differ by.
            allowed = MERGED_BF16_STEP * want.abs() + MERGED_F32 * want.abs().max()
            share = float((off > 0).float().mean())
            check(bool((off <= allowed).all()), f"merged `{name}` off by more than one rounding step")
            check(share <= MERGED_BF16_SHARE, f"merged `{name}`: {share:.1e} of it rounded differently")
        other += torch.equal(weight, base[name])
    print(f"  merged weights equal PEFT's; {len(merged) - other} of {len(merged)} tensors differ from the base")


def compare_chat(merged_folder):
    """Text and ids of our template and tokenizer against transformers'; returns prompts of real text."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(merged_folder)
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(CONVERSATIONS, file)
        file.flush()
        rendered = ours("codeact-chat", "render", merged_folder.resolve(), file.name).splitlines()
    prompts = []
    for messages, line in zip(CONVERSATIONS, rendered, strict=True):
        got, opened = json.loads(line), messages[-1]["role"] == "user"
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=opened)
        check(got["text"] == text, f"chat template: ours {got['text']!r}, transformers {text!r}")
        ids = tokenizer.apply_chat_template(messages, add_generation_prompt=opened, return_dict=False)
        check(got["ids"] == list(ids), f"chat ids: ours {got['ids']}, transformers {list(ids)}")
        prompts.append(got["ids"])
    check((merged_folder / "generation_config.json").exists(), "no generation_config.json, so generation may not end")
    config = transformers.GenerationConfig.from_pretrained(merged_folder)
    ends = config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id]
    check(tokenizer.eos_token_id in ends, f"end token {tokenizer.eos_token_id} is not in generation_config's {ends}")
    print(f"  AutoTokenizer renders and encodes {len(prompts)} conversations as we do")
    return prompts


def check_export(base, adapter, merged):
    config = transformers.AutoConfig.from_pretrained(base)
    draw = random.Random(0)
    prompts = [[draw.randrange(config.vocab_size) for _ in range(length)] for length in (2, 17, 40)]
    if (merged / "tokenizer.json").exists():
        prompts += compare_chat(merged)
    else:
        print("  skipped: 1 check, no tokenizer in the merged folder")
    bare = load(base)
    if (size := grown.vocabulary(adapter)) > config.vocab_size:
        bare.resize_token_embeddings(size)  # as the adapter's card says
    before = their_logits(bare, prompts)
    model = peft.PeftModel.from_pretrained(bare, adapter).eval()
    compare_adapter(model, adapter)
    theirs = their_logits(model, prompts)
    moved = max(float((a - b).abs().max()) for a, b in zip(before, theirs))
    print(f"  the adapter moves logits by up to {moved:.3g}")
    compare_logits("base + adapter, PEFT and ours", our_logits(base, prompts, adapter), theirs)
    compare_merged(model, base, merged)
    del bare, model
    compare_logits("merged, transformers and ours", our_logits(merged, prompts), their_logits(load(merged), prompts))


def check_golden(folder, out):
    """Export a golden adapter with our code and check the result."""
    base = REPOSITORY / "tests/golden" / json.loads((folder / "train.json").read_text())["base"]
    ours("codeact-model", "export_adapter", base, folder / "adapter", out / "adapter", out / "merged")
    check_export(base, out / "adapter", out / "merged")


def check_run(run):
    """Check a training run; its base is the one that adapter_config.json names, resolved as the trainer does."""
    name = json.loads((run / "adapter/adapter_config.json").read_text())["base_model_name_or_path"]
    base = Path(ours("codeact-model", "resolve_model", name).strip())
    check_export(REPOSITORY / base, run / "adapter", run / "merged")


def exports(args):
    """Pairs of a name and what to run."""
    if len(args) == 3:
        return [(args[2], lambda _: check_export(*map(Path, args)))]
    if len(args) == 1:
        return [(args[0], lambda _: check_run(Path(args[0])))]
    golden = sorted((REPOSITORY / "tests/golden/lora").iterdir())
    found = [(folder.name, lambda out, folder=folder: check_golden(folder, out)) for folder in golden]
    for tied in (True, False):
        name = f"new tokens, embedding and head {'tied' if tied else 'apart'}"
        found.append((name, lambda out, tied=tied: check_export(*grown.train(out, tied, trainer()))))
    quickstart = REPOSITORY / "checkpoints/runs/quickstart"
    if (quickstart / "merged").exists() and (quickstart / "adapter").exists():
        found.append(("quickstart", lambda _: check_run(quickstart)))
    else:
        print(f"skipped: 1 export, `{quickstart.relative_to(REPOSITORY)}` is not there")
    return found


def main():
    args = sys.argv[1:]
    missing = [arg for arg in args if not Path(arg).is_dir()]
    if len(args) not in (0, 1, 3) or missing:
        print(*[f"error: no folder `{arg}`" for arg in missing] or [__doc__], sep="\n", file=sys.stderr)
        return 2
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(min(2, os.cpu_count() or 1))
    failed = 0
    found = exports(args)
    for name, run in found:
        print(name)
        try:
            with tempfile.TemporaryDirectory() as out:
                run(Path(out))
        except Differs as difference:
            failed += 1
            print(f"  FAILED: {difference}")
    print(f"{len(found) - failed} of {len(found)} exports agree")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
