#!/usr/bin/env python3
"""Check that the GGUF files this project writes are what llama.cpp and its tools expect.

usage: python tests/gguf_check.py MODEL_DIR [--adapter DIR] [--require-llama]

Packages: tests/gguf-requirements.txt, and for the second half tests/llama-requirements.txt, without which it is skipped
unless --require-llama is given. Our side is `codeact-train gguf` and two small examples, run through
`cargo run --release`; set CODEACT_TRAIN to a built program and CODEACT_EXAMPLES to a folder of built examples to skip
cargo.

For each of f16, bf16, q8_0, q4_0 and q4_k_m, by the package `gguf`:
  * the file's header, metadata and every tensor's place can be read, and the vocabulary is the model's
  * every tensor, dequantised, is the model's (merged by `codeact-train merge` with an adapter): rows of queries and keys
    in llama.cpp's order, and no further off than its type allows
By llama.cpp, where it is installed:
  * it loads each file, and its tokenizer gives the ids that ours gives, for texts and for whole conversations
  * greedy tokens of the f16 and bf16 files are those of our engine, from the file and from the folder; those of the others
    begin as ours do
Exit code: 0 all equal, 1 something differs, 2 wrong arguments."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy
from gguf import GGUFReader, GGUFValueType, dequantize
from safetensors import safe_open

REPOSITORY = Path(__file__).resolve().parent.parent
QUANTS = ["f16", "bf16", "q8_0", "q4_0", "q4_k_m"]
# Root of the mean squared error of a tensor, of the root of its mean square. Random numbers lose about 1 / (levels of the
# type * 2); measured on SmolLM2 1.5e-4, 0, 5.2e-3, 7.5e-2 and 7.5e-2 at most.
ERRORS = {"F32": 1e-7, "F16": 1e-3, "BF16": 1e-7, "Q8_0": 1e-2, "Q6_K": 3e-2, "Q5_0": 6e-2, "Q5_1": 6e-2, "Q4_0": 0.11,
          "Q4_1": 0.11, "Q5_K": 6e-2, "Q4_K": 0.11}
# Base weights in bf16 are exact in f32 and bf16; those of an f32 base are rounded.
ROUNDED_BF16 = 3e-3
NEW_TOKENS = 24
TEXTS = [
    "Hello  world,\n\n  it's 2026-11-30; 3.14159 and 1000000!",
    "def f(x):\n\treturn {'a': x[0], \"b\": x**2}  # naïve",
    "Grüße, 你好, привет, \N{GRINNING FACE}\u200d\N{FOG}\ufe0f, สวัสดี",
    " leading and trailing ",
    "                \t\t \n \n\n x",
    "I'LL we've DON'T 'quoted' ``code`` <execute>\nprint(1)\n</execute>",
    "\x00\x01\x7f",
]
CONVERSATIONS = [
    [{"role": "user", "content": "What is 17 * 23?"}],
    [{"role": "user", "content": "Name three fruits."}],
    [{"role": "user", "content": "Write a Python function that reverses a string."}],
    [
        {"role": "user", "content": "Add the numbers 3, 5 and 8."},
        {"role": "assistant", "content": "I add them.\n<execute>\nprint(3 + 5 + 8)\n</execute>"},
        {"role": "user", "content": "Observation:\n16"},
    ],
]


class Differs(Exception):
    """Two sides that must agree do not."""


def check(condition, message):
    if not condition:
        raise Differs(message)


def run(built, cargo, args):
    command = [str(built)] if built else ["cargo", "run", "--release", "--quiet", *cargo, "--"]
    result = subprocess.run([*command, *map(str, args)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    check(result.returncode == 0, f"`{' '.join(map(str, args))}` ended with {result.returncode}")
    return result.stdout


def train(*args):
    return run(os.environ.get("CODEACT_TRAIN"), ["--package", "codeact-train", "--bin", "codeact-train"], args)


def example(package, name, *args):
    folder = os.environ.get("CODEACT_EXAMPLES")
    return run(folder and Path(folder) / name, ["--package", package, "--example", name], args)


def with_json(value, call):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(value, file)
        file.flush()
        return json.loads("[" + ",".join(call(file.name).splitlines()) + "]")


def weights_of(folder):
    """Every tensor of a Hugging Face folder in f32, and the dtype of each in the file."""
    weights, dtypes = {}, {}
    for path in sorted(folder.glob("model*.safetensors")):
        with safe_open(path, framework="numpy") as file:
            header = json.loads(path.read_bytes()[8 : 8 + int.from_bytes(path.read_bytes()[:8], "little")])
            data = numpy.memmap(path, mode="r", offset=8 + int.from_bytes(path.read_bytes()[:8], "little"))
            for name in file.keys():
                entry = header[name]
                raw = data[slice(*entry["data_offsets"])]
                dtypes[name] = entry["dtype"]
                values = (
                    (raw.view(numpy.uint16).astype(numpy.uint32) << 16).view(numpy.float32)
                    if entry["dtype"] == "BF16"
                    else raw.view({"F32": numpy.float32, "F16": numpy.float16}[entry["dtype"]]).astype(numpy.float32)
                )
                weights[name] = values.reshape(entry["shape"])
    return weights, dtypes


PARTS = {
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}
TABLES = {"token_embd": "model.embed_tokens", "output": "lm_head", "output_norm": "model.norm"}


def expected(name, weights, config):
    """A tensor as llama.cpp's own converter would write it."""
    part = name.removesuffix(".weight")
    if part in TABLES:
        return weights[f"{TABLES[part]}.weight"]
    _, layer, part = part.split(".")
    weight = weights[f"model.layers.{layer}.{PARTS[part]}.weight"]
    heads = config["num_attention_heads"]
    counts = {"attn_q": heads, "attn_k": config.get("num_key_value_heads") or heads}
    if part in counts:
        # convert_hf_to_gguf.py, LlamaModel.permute
        count = counts[part]
        split = weight.reshape(count, 2, weight.shape[0] // count // 2, *weight.shape[1:])
        weight = split.swapaxes(1, 2).reshape(weight.shape)
    return weight


def check_tensors(reader, weights, dtypes, config):
    worst = {}
    names = {tensor.name for tensor in reader.tensors}
    tables = [name for name, hub in TABLES.items() if name != "output" or not config.get("tie_word_embeddings")]
    layers = [f"blk.{layer}.{part}" for layer in range(config["num_hidden_layers"]) for part in PARTS]
    want = {f"{name}.weight" for name in tables + layers}
    check(names - {"rope_freqs.weight"} == want, f"tensors differ by name: {sorted(names ^ want)[:4]}")
    for tensor in reader.tensors:
        if tensor.name == "rope_freqs.weight":
            continue
        want, kind = expected(tensor.name, weights, config), tensor.tensor_type.name
        found = dequantize(tensor.data, tensor.tensor_type).reshape(want.shape).astype(numpy.float64)
        check(numpy.isfinite(found).all(), f"`{tensor.name}` has values that are not finite")
        scale = float(numpy.sqrt((want.astype(numpy.float64) ** 2).mean())) or 1.0
        off = float(numpy.sqrt(((found - want) ** 2).mean())) / scale
        allowed = ROUNDED_BF16 if kind == "BF16" and "F32" in dtypes.values() else ERRORS[kind]
        check(off <= allowed, f"`{tensor.name}` in {kind} is off by {off:.1e}, allowed {allowed:.0e}")
        worst[kind] = max(worst.get(kind, 0.0), off)
    print("  dequantised:", ", ".join(f"{kind} off by at most {off:.1e}" for kind, off in sorted(worst.items())))


def check_metadata(reader, folder, config):
    def value(key):
        check(key in reader.fields, f"no `{key}`")
        return reader.fields[key].contents()

    check(value("general.architecture") == "llama", "the architecture is not llama")
    check(reader.fields["GGUF.version"].contents() == 3, "not version 3")
    for key, want in [
        ("llama.block_count", config["num_hidden_layers"]),
        ("llama.embedding_length", config["hidden_size"]),
        ("llama.feed_forward_length", config["intermediate_size"]),
        ("llama.attention.head_count", config["num_attention_heads"]),
        ("llama.vocab_size", config["vocab_size"]),
    ]:
        check(value(key) == want, f"`{key}` is {value(key)}, the config says {want}")
    tokens = value("tokenizer.ggml.tokens")
    check(len(tokens) == config["vocab_size"] == len(value("tokenizer.ggml.token_type")), "tokens, types and rows differ")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    for token, index in tokenizer["model"]["vocab"].items():
        check(tokens[index] == token, f"token {index} is `{tokens[index]}`, the tokenizer says `{token}`")
    check(reader.fields["tokenizer.ggml.token_type"].types[-1] == GGUFValueType.INT32, "token types are not i32")
    return tokens


def check_llama(path, folder, quant, greedy_of_folder):
    import llama_cpp

    model = llama_cpp.Llama(str(path), n_ctx=512, n_batch=256, n_threads=os.cpu_count(), verbose=False, logits_all=False)
    rendered = with_json(CONVERSATIONS, lambda file: example("codeact-chat", "render", folder.resolve(), file))
    for prompt in rendered:
        found = model.tokenize(prompt["text"].encode(), add_bos=False, special=True)
        want = prompt["ids"]
        # Our ids have the begin token that the tokenizer puts before every text.
        found = found if found[:1] == want[:1] else want[:1] + found
        check(found == want, f"llama.cpp reads {prompt['text']!r} as {found}, we as {want}")
    texts = with_json([[{"role": "user", "content": text}] for text in TEXTS],
                      lambda file: example("codeact-chat", "render", folder.resolve(), file))
    for text, prompt in zip(TEXTS, texts, strict=True):
        found = model.tokenize(prompt["text"].encode(), add_bos=False, special=True)
        found = found if found[:1] == prompt["ids"][:1] else prompt["ids"][:1] + found
        check(found == prompt["ids"], f"llama.cpp reads {text!r} as {found}, we as {prompt['ids']}")
    prompts = [prompt["ids"] for prompt in rendered]
    ours = with_json(prompts, lambda file: example("codeact-model", "greedy", path, file, NEW_TOKENS))[0]
    same, first = 0, 0
    for prompt, want in zip(prompts, ours, strict=True):
        model.reset()
        model.eval(prompt)
        found = []
        for _ in range(NEW_TOKENS):
            logits = numpy.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(model.ctx, -1), (model.n_vocab(),))
            found.append(int(logits.argmax()))
            model.eval([found[-1]])
        equal = next((at for at, (one, other) in enumerate(zip(found, want)) if one != other), NEW_TOKENS)
        same, first = same + equal, first + (equal > 0)
    model.close()
    print(f"  llama.cpp: the same ids for {len(prompts) + len(TEXTS)} texts; greedy tokens are ours for"
          f" {same} of {NEW_TOKENS * len(prompts)}")
    if quant in ("f16", "bf16"):
        check(same == NEW_TOKENS * len(prompts), "greedy tokens of llama.cpp and of our engine differ")
        check(quant != "f16" or ours == greedy_of_folder, "our engine continues otherwise from the folder")
    check(first == len(prompts), "llama.cpp and our engine begin otherwise")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--adapter", type=Path)
    parser.add_argument("--require-llama", action="store_true")
    args = parser.parse_args()
    try:
        import llama_cpp  # noqa: F401

        has_llama = True
    except ImportError:
        has_llama = False
        if args.require_llama:
            parser.error("llama-cpp-python is not installed")
        print("skipped: 5 checks, llama-cpp-python is not installed")
    failed = 0
    with tempfile.TemporaryDirectory() as out:
        folder, adapter = args.model, []
        if args.adapter:
            folder, adapter = Path(out) / "merged", ["--adapter", args.adapter.resolve()]
            train("merge", "--base", args.model.resolve(), *adapter, "--out", folder)
        config = json.loads((folder / "config.json").read_text())
        weights, dtypes = weights_of(folder)
        greedy = None
        for quant in QUANTS:
            print(quant)
            path = Path(out) / f"{quant}.gguf"
            try:
                train("gguf", "--model", args.model.resolve(), *adapter, "--quant", quant, "--out", path)
                reader = GGUFReader(path)
                check_metadata(reader, folder, config)
                check_tensors(reader, weights, dtypes, config)
                if has_llama:
                    if greedy is None:
                        rendered = with_json(CONVERSATIONS, lambda file: example("codeact-chat", "render", folder.resolve(), file))
                        prompts = [prompt["ids"] for prompt in rendered]
                        greedy = with_json(prompts, lambda file: example("codeact-model", "greedy", folder.resolve(), file, NEW_TOKENS))[0]
                    check_llama(path, folder, quant, greedy)
            except Differs as difference:
                failed += 1
                print(f"  FAILED: {difference}")
            path.unlink(missing_ok=True)
    print(f"{len(QUANTS) - failed} of {len(QUANTS)} files agree")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
