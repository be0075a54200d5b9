//! A GGUF file of every format serves what the weights in it say: the logits of a folder with the same numbers, whose
//! rows of queries and keys lie in the other order.
#![allow(clippy::unwrap_used)] // a test that cannot go on should stop

mod source_support;

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use codeact_model::serving::{ServedModel, ServedWeights, ServingOptions, Step, Wanted};
use codeact_model::source::ModelFiles;
use source_support::{metadata, options, scratch};

const HIDDEN: usize = 256;
const HEADS: usize = 4;
const KV_HEADS: usize = 2;
const WIDTH: usize = 64;
const INNER: usize = 512;
const LAYERS: usize = 2;

fn numbers(shape: &[usize], scale: f32, seed: &mut u64) -> Tensor {
    let mut next = || {
        *seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((*seed >> 40) as f32 / (1u64 << 24) as f32 - 0.5) * scale
    };
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| next()).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// Row `(half, pair)` of a head becomes row `(pair, half)`, as llama.cpp's converter has it.
fn interleaved(tensor: &Tensor, heads: usize) -> Tensor {
    let (rows, columns) = tensor.dims2().unwrap();
    let halves = tensor.reshape((heads, 2, rows / heads / 2, columns)).unwrap();
    halves.transpose(1, 2).unwrap().contiguous().unwrap().reshape((rows, columns)).unwrap()
}

fn deinterleaved(tensor: &Tensor, heads: usize) -> Tensor {
    let (rows, columns) = tensor.dims2().unwrap();
    let pairs = tensor.reshape((heads, rows / heads / 2, 2, columns)).unwrap();
    pairs.transpose(1, 2).unwrap().contiguous().unwrap().reshape((rows, columns)).unwrap()
}

/// Metadata of this file's shape.
fn entries() -> Vec<(String, Value)> {
    let mut entries = metadata();
    for (key, value) in [
        ("llama.block_count", LAYERS),
        ("llama.embedding_length", HIDDEN),
        ("llama.feed_forward_length", INNER),
        ("llama.attention.head_count", HEADS),
        ("llama.attention.head_count_kv", KV_HEADS),
        ("llama.context_length", 512),
    ] {
        entries.retain(|entry| entry.0 != key);
        entries.push((key.to_owned(), Value::U32(value as u32)));
    }
    entries
}

/// Writes a GGUF file whose matrices are in `format`, and a folder with the numbers that it then holds.
fn write(root: &Path, format: GgmlDType, factors: Option<&[f32]>, scaling: serde_json::Value) {
    let tokens = entries().into_iter().find(|entry| entry.0 == "tokenizer.ggml.tokens").unwrap().1;
    let vocab_size = tokens.to_vec().unwrap().len();
    let mut seed = 11;
    let (mut gguf, mut folder) = (Vec::new(), HashMap::new());
    let mut add = |from: String, to: String, shape: &[usize], heads: Option<usize>| {
        let is_norm = shape.len() == 1;
        let scale = if is_norm { 0.2 } else { 3.4 / (shape[1] as f32).sqrt() };
        let values = numbers(shape, scale, &mut seed);
        let values = if is_norm { (values + 1.0).unwrap() } else { values };
        let stored = heads.map_or(values.clone(), |heads| interleaved(&values, heads));
        let stored = QTensor::quantize(&stored, if is_norm { GgmlDType::F32 } else { format }).unwrap();
        let held = stored.dequantize(&Device::Cpu).unwrap();
        folder.insert(format!("{to}.weight"), heads.map_or(held.clone(), |heads| deinterleaved(&held, heads)));
        gguf.push((format!("{from}.weight"), stored));
    };
    add("token_embd".into(), "model.embed_tokens".into(), &[vocab_size, HIDDEN], None);
    add("output".into(), "lm_head".into(), &[vocab_size, HIDDEN], None);
    add("output_norm".into(), "model.norm".into(), &[HIDDEN], None);
    for layer in 0..LAYERS {
        let mut own = |from: &str, to: &str, shape: &[usize], heads| {
            add(format!("blk.{layer}.{from}"), format!("model.layers.{layer}.{to}"), shape, heads);
        };
        own("attn_norm", "input_layernorm", &[HIDDEN], None);
        own("ffn_norm", "post_attention_layernorm", &[HIDDEN], None);
        own("attn_q", "self_attn.q_proj", &[HEADS * WIDTH, HIDDEN], Some(HEADS));
        own("attn_k", "self_attn.k_proj", &[KV_HEADS * WIDTH, HIDDEN], Some(KV_HEADS));
        own("attn_v", "self_attn.v_proj", &[KV_HEADS * WIDTH, HIDDEN], None);
        own("attn_output", "self_attn.o_proj", &[HIDDEN, HEADS * WIDTH], None);
        own("ffn_gate", "mlp.gate_proj", &[INNER, HIDDEN], None);
        own("ffn_up", "mlp.up_proj", &[INNER, HIDDEN], None);
        own("ffn_down", "mlp.down_proj", &[HIDDEN, INNER], None);
    }
    if let Some(factors) = factors {
        let factors = Tensor::new(factors, &Device::Cpu).unwrap();
        gguf.push(("rope_freqs.weight".to_owned(), QTensor::quantize(&factors, GgmlDType::F32).unwrap()));
    }
    let entries = entries();
    let entries: Vec<(&str, &Value)> = entries.iter().map(|(key, value)| (key.as_str(), value)).collect();
    let tensors: Vec<(&str, &QTensor)> = gguf.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    gguf_file::write(&mut File::create(root.join("tiny.gguf")).unwrap(), &entries, &tensors).unwrap();
    candle_core::safetensors::save(&folder, root.join("model.safetensors")).unwrap();
    let config = serde_json::json!({
        "model_type": "llama", "hidden_size": HIDDEN, "intermediate_size": INNER, "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "vocab_size": vocab_size,
        "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "rope_theta": 100000.0, "rope_scaling": scaling,
        "tie_word_embeddings": false,
    });
    std::fs::write(root.join("config.json"), config.to_string()).unwrap();
}

fn logits(files: &ModelFiles, weights: ServedWeights) -> Vec<f32> {
    let options = ServingOptions { weights, kv_bytes: Some(4 << 20), ..ServingOptions::default() };
    let mut model = ServedModel::load(files, &options).unwrap();
    let token_ids: Vec<u32> = (0..40).map(|at| at * 37 % 260).collect();
    let pages: Vec<u32> = (0..3).collect();
    let wanted = Wanted::Logits { from: 0 };
    let step = Step { token_ids: &token_ids, first: 0, pages: &pages, adapter: None, wanted };
    let mut all = Vec::new();
    model.forward(&[step], &mut |_, _, row| all.extend_from_slice(row)).unwrap();
    all
}

/// How far the file's logits are from the folder's, beside their size.
fn off(root: &Path) -> f32 {
    let path = root.join("tiny.gguf");
    let files = ModelFiles::find_with(path.to_str().unwrap(), &options(root), &|_| {}).unwrap();
    let (got, expected) =
        (logits(&files, ServedWeights::Stored), { logits(&ModelFiles::in_folder(root), ServedWeights::F32) });
    assert_eq!(got.len(), expected.len());
    let size = |values: &mut dyn Iterator<Item = f32>| values.map(|x| x * x).sum::<f32>().sqrt();
    size(&mut got.iter().zip(&expected).map(|(a, b)| a - b)) / size(&mut expected.iter().copied())
}

#[test]
fn a_file_of_every_format_serves_the_logits_of_its_numbers() {
    for (format, tolerance) in [
        // Exact weights and unrounded factors; sums run in other orders, and keys and values may be f16.
        (GgmlDType::F32, 1e-5),
        (GgmlDType::F16, 2e-3),
        // Factors are bf16 on processors that multiply it.
        (GgmlDType::BF16, 2e-2),
        // Activations in 8 bits.
        (GgmlDType::Q8_0, 2e-2),
        (GgmlDType::Q4_0, 2e-2),
        (GgmlDType::Q4_1, 2e-2),
        (GgmlDType::Q5_0, 2e-2),
        (GgmlDType::Q5_1, 2e-2),
        (GgmlDType::Q4K, 2e-2),
        (GgmlDType::Q5K, 2e-2),
        (GgmlDType::Q6K, 2e-2),
    ] {
        let root = scratch();
        write(root.path(), format, None, serde_json::Value::Null);
        let off = off(root.path());
        assert!(off < tolerance, "{format:?}: off by {off}");
    }
}

#[test]
fn factors_of_llama_3_are_read_as_its_scaling() {
    // As the converter computes them, in f32.
    let factors = |factor: f32, original: f32| -> Vec<f32> {
        (0..WIDTH / 2)
            .map(|i| {
                let frequency = 1.0 / 100000f32.powf(2.0 * i as f32 / WIDTH as f32);
                let wavelength = 2.0 * std::f32::consts::PI / frequency;
                let smooth = (original / wavelength - 1.0) / 3.0;
                match wavelength {
                    short if short < original / 4.0 => 1.0,
                    long if long > original => factor,
                    _ => 1.0 / ((1.0 - smooth) / factor + smooth),
                }
            })
            .collect()
    };
    for (factor, original) in [(8.0, 8192.0), (32.0, 8192.0), (4.0, 2048.0)] {
        let root = scratch();
        let scaling = serde_json::json!({
            "rope_type": "llama3", "factor": factor, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": original as u32,
        });
        write(root.path(), GgmlDType::F32, Some(&factors(factor, original)), scaling.clone());
        let files =
            ModelFiles::find_with(root.path().join("tiny.gguf").to_str().unwrap(), &options(root.path()), &|_| {});
        let text = std::fs::read_to_string(files.unwrap().folder().join("config.json")).unwrap();
        let config: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(config["rope_scaling"], scaling);
        assert!(off(root.path()) < 1e-5);
    }
}

#[test]
fn a_vocabulary_of_llama_3_is_cut_as_llama_3_cuts() {
    let root = scratch();
    let mut entries = metadata();
    entries.retain(|(key, _)| key != "tokenizer.ggml.pre");
    entries.push(("tokenizer.ggml.pre".to_owned(), Value::String("llama-bpe".to_owned())));
    // Nothing merges into the last of these.
    let tokens = entries.iter_mut().find(|(key, _)| key == "tokenizer.ggml.tokens").unwrap();
    let Value::Array(tokens) = &mut tokens.1 else { panic!("tokens are a list") };
    tokens.extend(["123", "Ġhello"].map(|token| Value::String(token.to_owned())));
    let types = entries.iter_mut().find(|(key, _)| key == "tokenizer.ggml.token_type").unwrap();
    let Value::Array(types) = &mut types.1 else { panic!("types are a list") };
    types.extend([Value::I32(1), Value::I32(1)]);
    let path = root.path().join("tiny.gguf");
    source_support::write_gguf(&path, &entries, &source_support::tensor_list_of(2));
    let files = ModelFiles::find_with(path.to_str().unwrap(), &options(root.path()), &|_| {}).unwrap();
    let tokenizer = tokenizers::Tokenizer::from_file(files.folder().join("tokenizer.json")).unwrap();
    let cut = |text: &str| tokenizer.encode(text, true).unwrap().get_tokens().to_vec();
    // Three digits at a time, whole tokens before merges, the begin token first.
    assert_eq!(cut("12345 hello"), ["<|im_start|>", "123", "4", "5", "Ġhello"]);
    // A line end goes with the signs before it; a blank stays with the word after it.
    assert_eq!(cut("!\n hello"), ["<|im_start|>", "!", "Ċ", "Ġhello"]);
}
