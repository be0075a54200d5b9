//! A tiny GGUF model and settings that stay inside a temporary folder.
#![allow(dead_code)]
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use codeact_model::source::{Options, Wheel};

pub const HIDDEN: usize = 32;
pub const HEADS: usize = 2;
pub const HEAD_WIDTH: usize = HIDDEN / HEADS;

/// Settings with every place inside `root`, and a hub address where nobody listens.
pub fn options(root: &Path) -> Options {
    Options {
        base_dir: root.join("base"),
        data_dir: root.join("data"),
        hub_cache: root.join("cache"),
        endpoint: Some("http://127.0.0.1:9".into()),
        offline: false,
        python: root.join("no-python"),
        wheel: Wheel::smollm2(),
        contact_timeout: Duration::from_secs(10),
        stall_timeout: Duration::from_secs(10),
        range_bytes: 1000,
        retry_pause: Duration::from_millis(1),
    }
}

/// The least that counts as a model folder.
pub fn write_folder(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        fs::write(folder.join(name), "{}").unwrap();
    }
}

/// Metadata of the tiny model; tests change single entries.
pub fn metadata() -> Vec<(String, Value)> {
    let tokens = tokens();
    let mut types = vec![1; tokens.len()];
    types[..3].fill(3);
    let text = |value: &str| Value::String(value.into());
    let texts = |values: Vec<String>| Value::Array(values.into_iter().map(Value::String).collect());
    [
        ("general.architecture", text("llama")),
        ("llama.block_count", Value::U32(1)),
        ("llama.context_length", Value::U32(64)),
        ("llama.embedding_length", Value::U32(HIDDEN as u32)),
        ("llama.feed_forward_length", Value::U32(64)),
        ("llama.attention.head_count", Value::U32(HEADS as u32)),
        ("llama.attention.head_count_kv", Value::U32(1)),
        ("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-5)),
        ("llama.rope.freq_base", Value::F32(100000.0)),
        ("tokenizer.ggml.model", text("gpt2")),
        ("tokenizer.ggml.pre", text("smollm")),
        ("tokenizer.ggml.tokens", texts(tokens)),
        ("tokenizer.ggml.token_type", Value::Array(types.into_iter().map(Value::I32).collect())),
        ("tokenizer.ggml.merges", texts(vec!["h e".into(), "l l".into(), "he ll".into(), "1 2".into()])),
        ("tokenizer.ggml.bos_token_id", Value::U32(1)),
        ("tokenizer.ggml.eos_token_id", Value::U32(2)),
        ("tokenizer.ggml.padding_token_id", Value::U32(2)),
        ("tokenizer.ggml.unknown_token_id", Value::U32(0)),
        ("tokenizer.chat_template", text("{{ messages }}")),
    ]
    .map(|(key, value)| (key.to_string(), value))
    .into()
}

fn tokens() -> Vec<String> {
    let mut tokens: Vec<String> = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"].map(String::from).into();
    // GPT-2 writes printable bytes as themselves and the others from U+0100 on.
    let is_printable = |byte: u32| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let others = (0..256).filter(|&byte| !is_printable(byte)).enumerate().map(|(index, _)| 256 + index as u32);
    let characters = (0..256).filter(|&byte| is_printable(byte)).chain(others);
    tokens.extend(characters.map(|code| char::from_u32(code).unwrap().to_string()));
    tokens.extend(["he", "ll", "hell", "12"].map(String::from));
    tokens
}

/// Name, rows, columns (0 for a norm) and type of every tensor.
pub fn tensor_list() -> Vec<(&'static str, usize, usize, GgmlDType)> {
    tensor_list_of(0)
}

/// The same of a model with `more` tokens.
pub fn tensor_list_of(more: usize) -> Vec<(&'static str, usize, usize, GgmlDType)> {
    let vocab = tokens().len() + more;
    vec![
        ("token_embd.weight", vocab, HIDDEN, GgmlDType::Q8_0),
        ("output_norm.weight", HIDDEN, 0, GgmlDType::F32),
        ("blk.0.attn_norm.weight", HIDDEN, 0, GgmlDType::F32),
        ("blk.0.ffn_norm.weight", HIDDEN, 0, GgmlDType::F32),
        ("blk.0.attn_q.weight", HIDDEN, HIDDEN, GgmlDType::F32),
        ("blk.0.attn_k.weight", HEAD_WIDTH, HIDDEN, GgmlDType::F16),
        ("blk.0.attn_v.weight", HEAD_WIDTH, HIDDEN, GgmlDType::BF16),
        ("blk.0.attn_output.weight", HIDDEN, HIDDEN, GgmlDType::Q4_0),
        ("blk.0.ffn_gate.weight", 64, HIDDEN, GgmlDType::Q4_1),
        ("blk.0.ffn_up.weight", 64, HIDDEN, GgmlDType::Q8_0),
        ("blk.0.ffn_down.weight", HIDDEN, 64, GgmlDType::F32),
    ]
}

/// Value at `(row, column)` of every tensor before quantisation: exact in bf16, and it tells rows apart.
pub fn weight(row: usize, column: usize) -> f32 {
    (row % 64) as f32 + column as f32 / 64.0 * if row < 2 { 1.0 } else { 0.0 }
}

/// Writes a GGUF file.
pub fn write_gguf(path: &Path, metadata: &[(String, Value)], list: &[(&str, usize, usize, GgmlDType)]) {
    let tensors: Vec<(&str, QTensor)> = list
        .iter()
        .map(|&(name, rows, columns, kind)| {
            let (shape, columns) = if columns == 0 { (vec![rows], 1) } else { (vec![rows, columns], columns) };
            let values: Vec<f32> = (0..rows * columns).map(|index| weight(index / columns, index % columns)).collect();
            let tensor = Tensor::from_vec(values, shape, &Device::Cpu).unwrap();
            (name, QTensor::quantize(&tensor, kind).unwrap())
        })
        .collect();
    let metadata: Vec<(&str, &Value)> = metadata.iter().map(|(key, value)| (key.as_str(), value)).collect();
    let tensors: Vec<(&str, &QTensor)> = tensors.iter().map(|(name, tensor)| (*name, tensor)).collect();
    gguf_file::write(&mut File::create(path).unwrap(), &metadata, &tensors).unwrap();
}

/// The tiny model as it should be.
pub fn write_good_gguf(path: &Path) {
    write_gguf(path, &metadata(), &tensor_list());
}

/// A folder that is gone when the test ends.
pub fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// Names in a folder, sorted; lock files are left out.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).map(|entries| entries.flatten().collect::<Vec<_>>()).unwrap_or_default();
    let mut names: Vec<String> = entries.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| !name.ends_with(".lock"));
    names.sort();
    names
}

/// Where the material that is not part of the repository lies, if it is there.
pub fn shared() -> Option<PathBuf> {
    let path = std::env::var_os("CODEACT_SHARED").map(PathBuf::from);
    let path = path.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"));
    path.is_dir().then_some(path)
}
