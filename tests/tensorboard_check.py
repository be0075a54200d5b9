#!/usr/bin/env python3
"""Check that TensorBoard reads our event files, and shows what metrics.jsonl says.

usage: python tests/tensorboard_check.py               trains a tiny model, and continues it after losing half of it
       python tests/tensorboard_check.py RUN_DIR       checks a run that is there

Packages: tests/tensorboard-requirements.txt. The trainer is target/release/codeact-train, or CODEACT_TRAIN.

Both of TensorBoard's readers have to show every number of metrics.jsonl, rounded to f32, under its step, and no other:
the one in Python (EventAccumulator), and the server with its data server, asked over HTTP on loopback.
Exit code: 0 all equal, 1 something differs."""

import json
import logging
import os
import random
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

REPOSITORY = Path(__file__).resolve().parent.parent
TRAINER = os.environ.get("CODEACT_TRAIN", str(REPOSITORY / "target/release/codeact-train"))
SCALARS = ["loss", "learning_rate", "gradient_norm", "held_out_loss", "success_rate", "memory_bytes"]
SCALARS += ["reward_accuracy", "reward_margin", "reward_chosen", "reward_rejected", "chosen_loss"]
SERVER_SECONDS_MAX = 90
HIDDEN, INTERMEDIATE, KV, LAYERS = 32, 64, 16, 2
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
CONTROLS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def f32(value):
    return struct.unpack("<f", struct.pack("<f", value))[0]


def write_tokenizer(folder):
    """Byte-level BPE without merges."""
    points = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    points += range(0x100, 0x144)
    vocabulary = {token: index for index, token in enumerate(CONTROLS + [chr(point) for point in points])}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    model = {"type": "BPE", "dropout": None, "unk_token": None, "fuse_unk": False, "byte_fallback": False, "vocab": vocabulary, "merges": []}
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "normalizer": None, "model": model,
        "added_tokens": [{"id": index, "content": token, **flags} for index, token in enumerate(CONTROLS)],
        "pre_tokenizer": level, "post_processor": level, "decoder": level,
    }  # fmt: skip
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": CONTROLS[-1], "chat_template": CHATML}))
    return len(vocabulary)


def write_weights(folder, vocabulary):
    """Safetensors of f32: the length of the header, the header, the numbers."""
    shapes = {"model.embed_tokens.weight": [vocabulary, HIDDEN], "model.norm.weight": [HIDDEN]}
    for layer in range(LAYERS):
        for name, shape in {
            "input_layernorm": [HIDDEN], "post_attention_layernorm": [HIDDEN],
            "self_attn.q_proj": [HIDDEN, HIDDEN], "self_attn.k_proj": [KV, HIDDEN],
            "self_attn.v_proj": [KV, HIDDEN], "self_attn.o_proj": [HIDDEN, HIDDEN],
            "mlp.gate_proj": [INTERMEDIATE, HIDDEN], "mlp.up_proj": [INTERMEDIATE, HIDDEN], "mlp.down_proj": [HIDDEN, INTERMEDIATE],
        }.items():  # fmt: skip
            shapes[f"model.layers.{layer}.{name}.weight"] = shape
    draw = random.Random(5)
    header, numbers = {}, b""
    for name, shape in shapes.items():
        count = shape[0] * (shape[1] if len(shape) == 2 else 1)
        values = [1.0] * count if len(shape) == 1 else [draw.uniform(-0.2, 0.2) for _ in range(count)]
        begin = len(numbers)
        numbers += struct.pack(f"<{count}f", *values)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, len(numbers)]}
    head = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(head)) + head + numbers)
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "hidden_size": HIDDEN,
        "intermediate_size": INTERMEDIATE, "num_hidden_layers": LAYERS, "num_attention_heads": 4, "num_key_value_heads": 2,
        "vocab_size": vocabulary, "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "tie_word_embeddings": True, "torch_dtype": "float32", "bos_token_id": 1, "eos_token_id": 2,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))


def train(room, *options):
    subprocess.run([TRAINER, "--config", str(room / "settings.toml"), *options], check=True, cwd=room, capture_output=True)


def make_run(room):
    """A run of six steps with a checkpoint after three."""
    (room / "model").mkdir()
    write_weights(room / "model", write_tokenizer(room / "model"))
    for name, count in [("train.jsonl", 24), ("held.jsonl", 4)]:
        rows = [[{"role": "user", "content": f"add {n}"}, {"role": "assistant", "content": f"{n} and one is {n + 1}"}] for n in range(count)]
        (room / name).write_text("".join(json.dumps({"id": str(n), "conversations": row}) + "\n" for n, row in enumerate(rows)))
    (room / "settings.toml").write_text(
        '[model]\nname = "model"\n[lora]\nrank = 4\nalpha = 16\n[[data]]\npath = "train.jsonl"\n'
        '[[data]]\npath = "held.jsonl"\nheld_out = true\n[train]\nsteps = 6\npack_tokens = 220\naccumulation = 2\n'
        'dtype = "f32"\nthreads = 1\n[optimizer]\nlearning_rate = 2e-2\n[checkpoint]\nevery = 3\n[output]\ndir = "run"\n'
    )
    train(room)
    return room / "run"


def expected(run):
    """Tag by tag what metrics.jsonl says, in order of steps."""
    series = {}
    for line in (run / "metrics.jsonl").read_text().splitlines():
        row = json.loads(line)
        values = {key: row[key] for key in SCALARS if row.get(key) is not None}
        if row.get("seconds"):
            values["tokens_per_second"] = row["tokens"] / row["seconds"]
        for tag, key in [("loss", "loss_by_source"), ("held_out_loss", "held_out_by_source")]:
            values |= {f"{tag}/{name}": loss for name, loss in row.get(key, {}).items()}
        for tag, value in values.items():
            series.setdefault(tag, []).append((row["step"], f32(value)))
    return series


def by_accumulator(run):
    accumulator = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0, "tensors": 0})
    accumulator.Reload()
    return {tag: [(event.step, f32(event.value)) for event in accumulator.Scalars(tag)] for tag in accumulator.Tags()["scalars"]}


def by_server(run):
    """What the pages of TensorBoard would show."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    program = [sys.executable, "-m", "tensorboard.main", "--logdir", str(run), "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen([*program, "--samples_per_plugin", "scalars=100000"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ask = lambda path: json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/data/plugin/scalars/{path}", timeout=10))
    try:
        deadline = time.monotonic() + SERVER_SECONDS_MAX
        wanted, found = expected(run), {}
        while time.monotonic() < deadline:
            try:
                runs = ask("tags")
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                runs = {}
            for name, tags in runs.items():
                for tag in tags:
                    query = urllib.parse.urlencode({"run": name, "tag": tag})
                    found[tag] = [(step, f32(value)) for _, step, value in ask(f"scalars?{query}")]
            # It reads in the background: what is there may be the first part.
            if found == wanted:
                break
            time.sleep(0.5)
        return found
    finally:
        server.terminate()
        server.wait()


def differences(name, found, wanted):
    if not wanted:
        return [f"{name}: metrics.jsonl says nothing"]
    return [f"{name}: `{tag}` is {found.get(tag)}, expected {wanted.get(tag)}" for tag in sorted({*found, *wanted}) if found.get(tag) != wanted.get(tag)]


def check(title, run):
    wanted = expected(run)
    wrong = differences("EventAccumulator", by_accumulator(run), wanted) + differences("server", by_server(run), wanted)
    files = len(list((run / "tensorboard").iterdir()))
    print(f"{title}: {len(wanted)} tags, {sum(map(len, wanted.values()))} values in {files} files, {len(wrong)} differences")
    for line in wrong:
        print(f"  {line}")
    return len(wrong)


def main():
    logging.getLogger("tensorboard").setLevel(logging.ERROR)
    if len(sys.argv) > 1:
        return min(1, check(sys.argv[1], Path(sys.argv[1])))
    with tempfile.TemporaryDirectory() as name:
        run = make_run(Path(name))
        wrong = check("a whole run", run)
        # As if it had been killed after step 6: it goes on from step 3, and what came after is written anew.
        for folder in ["step-000006", "adapter", "merged"]:
            shutil.rmtree(run / folder)
        train(Path(name), "--resume")
        wrong += check("continued from step 3", run)
        shutil.rmtree(run / "adapter")
        shutil.rmtree(run / "merged")
        train(Path(name), "--resume")
        wrong += check("continued from the last step", run)
    return min(1, wrong)


if __name__ == "__main__":
    sys.exit(main())
