//! A small model and an adapter in files, as Hugging Face and PEFT write them.

use serde_json::{Map, Value, json};

pub const HIDDEN: usize = 16;
pub const INNER: usize = 24;
pub const VOCABULARY: usize = 40;
pub const LAYERS: usize = 2;
pub const RANK: usize = 2;

/// `config.json`.
pub fn config() -> Value {
    json!({
        "model_type": "llama", "hidden_size": HIDDEN, "intermediate_size": INNER, "num_hidden_layers": LAYERS,
        "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": VOCABULARY, "max_position_embeddings": 64,
        "rms_norm_eps": 1e-5, "hidden_act": "silu", "rope_theta": 10000.0, "tie_word_embeddings": false,
        "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                         "original_max_position_embeddings": 32},
    })
}

/// Width in and out of every projection.
fn projections() -> [(&'static str, usize, usize); 7] {
    [
        ("self_attn.q_proj", HIDDEN, HIDDEN),
        ("self_attn.k_proj", HIDDEN, HIDDEN / 2),
        ("self_attn.v_proj", HIDDEN, HIDDEN / 2),
        ("self_attn.o_proj", HIDDEN, HIDDEN),
        ("mlp.gate_proj", HIDDEN, INNER),
        ("mlp.up_proj", HIDDEN, INNER),
        ("mlp.down_proj", INNER, HIDDEN),
    ]
}

/// Name and shape of the model's tensors.
pub fn tensors() -> Vec<(String, Vec<usize>)> {
    let mut list = vec![
        ("model.embed_tokens.weight".to_owned(), vec![VOCABULARY, HIDDEN]),
        ("lm_head.weight".to_owned(), vec![VOCABULARY, HIDDEN]),
        ("model.norm.weight".to_owned(), vec![HIDDEN]),
    ];
    for layer in 0..LAYERS {
        for norm in ["input_layernorm", "post_attention_layernorm"] {
            list.push((format!("model.layers.{layer}.{norm}.weight"), vec![HIDDEN]));
        }
        for (module, c_in, c_out) in projections() {
            list.push((format!("model.layers.{layer}.{module}.weight"), vec![c_out, c_in]));
        }
    }
    list
}

/// `adapter_config.json`, for all projections and two new tokens.
pub fn adapter_config() -> Value {
    let targets = projections().map(|(module, ..)| module.split_once('.').unwrap().1);
    let indices = [VOCABULARY, VOCABULARY + 1];
    json!({
        "peft_type": "LORA", "r": RANK, "lora_alpha": 4, "target_modules": targets, "bias": "none",
        "use_rslora": false, "use_dora": false, "rank_pattern": {}, "modules_to_save": null,
        "trainable_token_indices": {"embed_tokens": indices, "lm_head": indices},
    })
}

/// Name and shape of the adapter's tensors.
pub fn adapter_tensors() -> Vec<(String, Vec<usize>)> {
    let mut list = Vec::new();
    for layer in 0..LAYERS {
        for (module, c_in, c_out) in projections() {
            let name = |matrix: &str| format!("base_model.model.model.layers.{layer}.{module}.{matrix}.weight");
            list.push((name("lora_A"), vec![RANK, c_in]));
            list.push((name("lora_B"), vec![c_out, RANK]));
        }
    }
    for table in ["model.embed_tokens", "lm_head"] {
        let name = format!("base_model.model.{table}.token_adapter.trainable_tokens_delta");
        list.push((name, vec![2, HIDDEN]));
    }
    list
}

/// Header of a safetensors file with these tensors in f32.
pub fn header(tensors: &[(String, Vec<usize>)]) -> (Value, usize) {
    let (mut map, mut begin) = (Map::new(), 0);
    map.insert("__metadata__".into(), json!({"format": "pt"}));
    for (name, shape) in tensors {
        let end = begin + shape.iter().product::<usize>() * 4;
        map.insert(name.clone(), json!({"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}));
        begin = end;
    }
    (Value::Object(map), begin)
}

/// A safetensors file of this header, filled with small numbers.
pub fn file(header: &str, data_bytes: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend((0..data_bytes / 4).flat_map(|at| (at as f32 % 7.0 / 16.0).to_le_bytes()));
    bytes
}
