"""A tiny base model without a chat format, and a run that gives it the new tokens of one; for tests/export_check.py."""

import json
import subprocess
from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

REPOSITORY = Path(__file__).resolve().parent.parent
SETTINGS = """
[model]
name = {base}
chat_format = "chatml"

[lora]
rank = 4
alpha = 16

[[data]]
path = {data}

[train]
steps = 8
pack_tokens = 220
dtype = "f32"
device = "cpu"

[optimizer]
learning_rate = 2e-2

[output]
dir = {run}
profile = "quickstart"
"""


def vocabulary(adapter):
    """How many rows the embedding needs for the tokens that an adapter trains."""
    rows = json.loads((adapter / "adapter_config.json").read_text()).get("trainable_token_indices") or []
    # One list for all tables, or one for each.
    lists = rows.values() if isinstance(rows, dict) else [rows]
    return 1 + max((index for indices in lists for index in indices), default=-1)


def train(out, tied, trainer):
    """The folders of base, adapter and merged model below `out`; `trainer` is the trainer's command."""
    base, data, run = out / "base", out / "data.jsonl", out / "run"
    make_base(base, tied)
    rows = ([{"role": "user", "content": f"add {n}"}, {"role": "assistant", "content": f"that is {n + 1}"}] for n in range(24))
    data.write_text("".join(json.dumps({"conversations": turns}) + "\n" for turns in rows))
    settings = out / "settings.toml"
    settings.write_text(SETTINGS.format(base=quoted(base), data=quoted(data), run=quoted(run)))
    subprocess.run([*trainer, "--config", settings], cwd=REPOSITORY, check=True, capture_output=True)
    return base, run / "adapter", run / "merged"


def quoted(path):
    """As a string of TOML."""
    return json.dumps(str(path.resolve()))


def make_base(folder, tied):
    """Random weights, and a token for each byte."""
    torch.manual_seed(5)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: index for index, letter in enumerate(letters)}, merges=[]))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>"])
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>")
    config = transformers.LlamaConfig(
        vocab_size=len(fast), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, tie_word_embeddings=tied, initializer_range=0.2,
        bos_token_id=None, eos_token_id=fast.eos_token_id,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    fast.save_pretrained(folder)
