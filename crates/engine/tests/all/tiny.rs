//! A model folder with random weights, small enough for every test to make its own.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use codeact_cpu::Isa;
use codeact_engine::{Engine, EngineLimits};
use codeact_model::serving::{ServedAdapter, ServedModel, ServedWeights, ServingOptions};
use codeact_model::source::ModelFiles;
use codeact_model::{Decoder, LoraConfig};

pub const VOCAB_SIZE: u32 = 96;
const HIDDEN: usize = 32;
const INTERMEDIATE: usize = 64;
const KV_WIDTH: usize = 16;

/// Writes `config.json` and `model.safetensors` of a 2-layer Llama with 4 heads over 2 key/value heads.
pub fn write(folder: &Path) {
    let config = serde_json::json!({
        "model_type": "llama", "hidden_size": HIDDEN, "intermediate_size": INTERMEDIATE,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "vocab_size": VOCAB_SIZE, "max_position_embeddings": 512, "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0, "tie_word_embeddings": true,
    });
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let mut state = 7;
    let mut tensors = HashMap::new();
    let mut add = |name: String, shape: &[usize], offset: f32, scale: f32| {
        tensors.insert(name, random(shape, &mut state, offset, scale));
    };
    add("model.embed_tokens.weight".into(), &[VOCAB_SIZE as usize, HIDDEN], 0.0, 1.0);
    add("model.norm.weight".into(), &[HIDDEN], 1.0, 0.2);
    for layer in 0..2 {
        let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
        add(name("input_layernorm"), &[HIDDEN], 1.0, 0.2);
        add(name("post_attention_layernorm"), &[HIDDEN], 1.0, 0.2);
        add(name("self_attn.q_proj"), &[HIDDEN, HIDDEN], 0.0, 0.4);
        add(name("self_attn.k_proj"), &[KV_WIDTH, HIDDEN], 0.0, 0.4);
        add(name("self_attn.v_proj"), &[KV_WIDTH, HIDDEN], 0.0, 0.4);
        add(name("self_attn.o_proj"), &[HIDDEN, HIDDEN], 0.0, 0.4);
        add(name("mlp.gate_proj"), &[INTERMEDIATE, HIDDEN], 0.0, 0.4);
        add(name("mlp.up_proj"), &[INTERMEDIATE, HIDDEN], 0.0, 0.4);
        add(name("mlp.down_proj"), &[HIDDEN, INTERMEDIATE], 0.0, 0.4);
    }
    candle_core::safetensors::save(&tensors, folder.join("model.safetensors")).unwrap();
}

/// A served model of its own, with pages for about `tokens` tokens.
pub fn served(weights: ServedWeights, threads: usize, tokens: usize) -> ServedModel {
    served_with(weights, threads, tokens, None)
}

/// As [`served`], with these instructions.
pub fn served_with(weights: ServedWeights, threads: usize, tokens: usize, isa: Option<Isa>) -> ServedModel {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let files = ModelFiles::in_folder(folder.path());
    let options = |kv_bytes| ServingOptions {
        weights,
        threads: NonZeroUsize::new(threads),
        isa,
        kv_bytes: Some(kv_bytes),
        ..ServingOptions::default()
    };
    let token_bytes = ServedModel::load(&files, &options(1 << 22)).unwrap().kv_bytes_per_token();
    ServedModel::load(&files, &options(tokens * token_bytes)).unwrap()
}

/// An engine around a tiny model of its own.
pub fn engine(limits: EngineLimits) -> Engine {
    Engine::start(served(ServedWeights::F32, 1, 4096), limits).unwrap()
}

/// An adapter for it, of random numbers, that adds `new_tokens` tokens.
pub fn adapter(seed: u64, new_tokens: usize) -> Arc<ServedAdapter> {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let decoder = Decoder::load(folder.path(), DType::F32, &Device::Cpu).unwrap();
    let lora = LoraConfig::all_linear(2, 4.0);
    let adapter = decoder.new_adapter(&lora, VOCAB_SIZE as usize + new_tokens, seed).unwrap();
    // A fresh adapter changes nothing.
    let count = adapter.parameter_count();
    let noise = random(&[count], &mut seed.wrapping_mul(77).wrapping_add(5), 0.0, 0.3);
    adapter.parameters().slice_set(&noise, 0, 0).unwrap();
    adapter.save(folder.path(), "tiny").unwrap();
    Arc::new(ServedAdapter::load(folder.path(), decoder.config()).unwrap())
}

/// Numbers in `offset ± scale` from a fixed linear congruential sequence.
fn random(shape: &[usize], state: &mut u64, offset: f32, scale: f32) -> Tensor {
    let values: Vec<f32> = (0..shape.iter().product())
        .map(|_| {
            *state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let unit = (*state >> 40) as f32 / (1u64 << 24) as f32;
            offset + scale * (2.0 * unit - 1.0)
        })
        .collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}
