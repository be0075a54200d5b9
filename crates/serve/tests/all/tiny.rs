//! A model folder with random weights and a tokenizer of single bytes, and a server around it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use codeact_agent::{Profile, ScriptedModel};
use codeact_engine::EngineLimits;
use codeact_eval::{Actor, Dtype, Sandbox};
use codeact_sandbox::{Policy, Session};
use codeact_serve::{AppState, MakeModel, ServeLimits, app};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const HIDDEN: usize = 32;
const INTERMEDIATE: usize = 48;
const KV_WIDTH: usize = 16;
const CONTROLS: [&str; 3] = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
const VOCAB_SIZE: usize = CONTROLS.len() + 256;
const CHATML: &str = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}\
    {% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/// A service on a free loopback port; it ends with its runtime.
pub struct Server {
    pub port: u16,
    _runtime: tokio::runtime::Runtime,
}

pub const LIMITS: ServeLimits = ServeLimits { sessions_max: 2, reply_tokens_max: 64 };

/// Serves the tiny model; the agents of sessions say `replies`.
pub fn serve(replies: &'static [&'static str]) -> Server {
    let folder = tempfile::tempdir().unwrap();
    write_tokenizer(folder.path());
    write_model(folder.path());
    Profile::quickstart().save(folder.path()).unwrap();
    let actor = Actor::load(folder.path(), None, Dtype::F32, EngineLimits::default()).unwrap();
    let make_model: MakeModel = Arc::new(move |_| Box::new(ScriptedModel::new(replies.iter().copied())));
    let policy = Policy::default();
    let protection = Session::start(&policy).unwrap().protection().clone();
    let sandbox = Sandbox::new(policy, protection);
    let state = AppState::with_models(actor, "tiny".into(), sandbox, LIMITS, make_model);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let port = listener.local_addr().unwrap().port();
    runtime.spawn(async move { axum::serve(listener, app(state)).await.unwrap() });
    Server { port, _runtime: runtime }
}

fn write(folder: &Path, name: &str, content: &Value) {
    std::fs::write(folder.join(name), content.to_string()).unwrap();
}

fn write_tokenizer(folder: &Path) {
    let mut bytes: Vec<char> = ('!'..='~').chain('¡'..='¬').chain('®'..='ÿ').collect();
    bytes.extend((0x100..0x144).map(|code| char::from_u32(code).unwrap()));
    let tokens = CONTROLS.iter().map(|token| (*token).to_owned()).chain(bytes.iter().map(char::to_string));
    let vocabulary: Value = tokens.enumerate().map(|(id, token)| (token, json!(id))).collect();
    let special = |id: usize| {
        json!({"id": id, "content": CONTROLS[id], "single_word": false, "lstrip": false, "rstrip": false,
               "normalized": false, "special": true})
    };
    let byte_level = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": (0..CONTROLS.len()).map(special).collect::<Vec<_>>(),
        "normalizer": null, "pre_tokenizer": byte_level, "post_processor": byte_level, "decoder": byte_level,
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "fuse_unk": false, "byte_fallback": false,
                  "vocab": vocabulary, "merges": []}
    });
    write(folder, "tokenizer.json", &tokenizer);
    let config = json!({"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "chat_template": CHATML});
    write(folder, "tokenizer_config.json", &config);
}

fn write_model(folder: &Path) {
    let config = json!({
        "model_type": "llama", "hidden_size": HIDDEN, "intermediate_size": INTERMEDIATE, "num_hidden_layers": 1,
        "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": VOCAB_SIZE,
        "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": true,
    });
    write(folder, "config.json", &config);
    let ones = || Tensor::ones(HIDDEN, candle_core::DType::F32, &Device::Cpu).unwrap();
    let layer = |part: &str| format!("model.layers.0.{part}.weight");
    let mut tensors = HashMap::from([
        ("model.norm.weight".to_owned(), ones()),
        (layer("input_layernorm"), ones()),
        (layer("post_attention_layernorm"), ones()),
    ]);
    let matrices = [
        ("model.embed_tokens.weight".to_owned(), VOCAB_SIZE, HIDDEN),
        (layer("self_attn.q_proj"), HIDDEN, HIDDEN),
        (layer("self_attn.k_proj"), KV_WIDTH, HIDDEN),
        (layer("self_attn.v_proj"), KV_WIDTH, HIDDEN),
        (layer("self_attn.o_proj"), HIDDEN, HIDDEN),
        (layer("mlp.gate_proj"), INTERMEDIATE, HIDDEN),
        (layer("mlp.up_proj"), INTERMEDIATE, HIDDEN),
        (layer("mlp.down_proj"), HIDDEN, INTERMEDIATE),
    ];
    let mut state = 5u64;
    for (name, rows, columns) in matrices {
        let values: Vec<f32> = (0..rows * columns)
            .map(|_| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
            })
            .collect();
        tensors.insert(name, Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap());
    }
    candle_core::safetensors::save(&tensors, folder.join("model.safetensors")).unwrap();
}
