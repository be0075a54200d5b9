//! A model folder with random weights and a tokenizer of single bytes, and a server around it.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use codeact_agent::{AgentError, Ask, Completion, FinishReason, Model, Profile, Wording};
use codeact_chat::Role;
use codeact_engine::{Engine, EngineLimits};
use codeact_eval::{Actor, Sandbox};
use codeact_model::serving::ServingOptions;
use codeact_model::source::ModelFiles;
use codeact_sandbox::{Policy, Protection, Rung, Session};
use codeact_serve::{
    AgentSettings, AppState, Connections, EdgeSettings, LogSettings, MakeModel, Models, ServeLimits, Source, app,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const HIDDEN: usize = 32;
const INTERMEDIATE: usize = 48;
const KV_WIDTH: usize = 16;
const CONTROLS: [&str; 3] = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
pub const VOCAB_SIZE: usize = CONTROLS.len() + 256;
const CHATML: &str = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}\
    {% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/// A service on a free loopback port; it ends with its runtime.
pub struct Server {
    pub port: u16,
    pub folder: tempfile::TempDir,
    pub engine: Engine,
    _runtime: tokio::runtime::Runtime,
}

/// What is served, and how.
pub struct Setup {
    pub edge: EdgeSettings,
    pub engine: EngineLimits,
    /// Bytes for keys and values.
    pub kv_bytes: usize,
    pub connections: Connections,
    pub limits: ServeLimits,
    /// Requests may load the adapters that `Server::write_adapter` makes.
    pub with_adapters: bool,
    /// Changes how sessions are kept.
    pub agent: fn(&mut AgentSettings),
}

impl Default for Setup {
    fn default() -> Setup {
        Setup {
            edge: EdgeSettings { log: LogSettings { requests: false, prompts: false }, ..EdgeSettings::default() },
            engine: EngineLimits { context_tokens_max: Some(512), ..EngineLimits::default() },
            kv_bytes: 4 << 20,
            connections: Connections::default(),
            limits: ServeLimits { sessions_max: 2, session_reply_tokens_max: 64, reply_tokens_max: None },
            with_adapters: false,
            agent: |_| {},
        }
    }
}

/// Serves the tiny model; agents say what their messages tell them to: see [`SayModel`].
pub fn serve_say() -> Server {
    serve_agents(Setup::default())
}

/// The same, as `setup` says.
pub fn serve_agents(setup: Setup) -> Server {
    serve_agents_with(setup, |state| state)
}

/// The same, with more that `change` adds.
pub fn serve_agents_with(setup: Setup, change: impl FnOnce(AppState) -> AppState) -> Server {
    serve_policy(setup, Policy::default(), change)
}

/// The same, with one second for each cell.
pub fn serve_quick(setup: Setup) -> Server {
    let limits = codeact_sandbox::Limits { wall_ms_max: 1000, ..Default::default() };
    serve_policy(setup, Policy { limits, ..Policy::default() }, |state| state)
}

fn serve_policy(setup: Setup, policy: Policy, change: impl FnOnce(AppState) -> AppState) -> Server {
    let protection = Session::start(&policy).unwrap().protection().clone();
    let make_model: MakeModel = Arc::new(move |_, _, _| Box::new(SayModel));
    start(setup, Sandbox::new(policy, protection), |state| change(state.with_models(make_model)))
}

/// A model that remembers nothing: of the newest message with `SAY a THEN b THEN c` it says the part that has its turn.
/// `STALL` is said by waiting for ever.
struct SayModel;

impl Model for SayModel {
    fn complete(&mut self, ask: &Ask<'_>, on_text: &mut dyn FnMut(&str) -> bool) -> Result<Completion, AgentError> {
        let asked = ask.messages.iter().rposition(|message| message.content.contains("SAY "));
        let index = asked.ok_or(AgentError::ScriptEnded { replies: 0 })?;
        let content = &ask.messages[index].content;
        let script = content.rsplit_once("SAY ").unwrap().1;
        let said = ask.messages[index..].iter().filter(|message| message.role == Role::Assistant).count();
        let reply = script.split(" THEN ").nth(said).ok_or(AgentError::ScriptEnded { replies: said })?;
        while reply == "STALL" && on_text("") {
            std::thread::yield_now();
        }
        let text = if reply == "STALL" { String::new() } else { reply.to_owned() };
        on_text(&text);
        Ok(Completion { text, prompt_tokens: 10, cached_tokens: 0, completion_tokens: 5, finish: FinishReason::Stop })
    }
}

/// Serves the tiny model to those who start no sessions.
pub fn serve_with(setup: Setup) -> Server {
    let protection =
        Protection { rung: Rung::Root, refusals: Vec::new(), layers: Vec::new(), missing_modules: Vec::new() };
    start(setup, Sandbox::new(Policy::default(), protection), |state| state)
}

fn start(setup: Setup, sandbox: Sandbox, change: impl FnOnce(AppState) -> AppState) -> Server {
    let folder = tempfile::tempdir().unwrap();
    write_folder(folder.path());
    let adapters = folder.path().join("adapters");
    std::fs::create_dir(&adapters).unwrap();
    let files = ModelFiles::in_folder(folder.path());
    let options =
        ServingOptions { kv_bytes: Some(setup.kv_bytes), threads: NonZeroUsize::new(1), ..Default::default() };
    let actor = Actor::load(&files, None, &options, setup.engine).unwrap();
    let engine = actor.engine.clone();
    let models = Models::new(actor, "tiny".into(), files, setup.with_adapters.then_some(adapters));
    let mut settings = AgentSettings::new(folder.path().join("state"));
    (setup.agent)(&mut settings);
    let (state, problems) = AppState::new(Source::Local(Box::new(models)), sandbox, setup.limits, settings).unwrap();
    assert_eq!(problems, Vec::<String>::new());
    let state = change(state.with_edge(setup.edge));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let port = listener.local_addr().unwrap().port();
    runtime.spawn(codeact_serve::serve(listener, app(state.clone()), state, setup.connections, std::future::pending()));
    Server { port, folder, engine, _runtime: runtime }
}

/// A model folder: random weights, a tokenizer of single bytes, the wording of the quickstart.
pub fn write_folder(folder: &Path) {
    write_tokenizer(folder);
    write_model(folder);
    Wording { profile: Profile::quickstart(), ..Wording::default() }.save(folder).unwrap();
}

/// A PEFT folder that changes the tiny model; another `seed` changes it otherwise.
pub fn write_adapter(folder: &Path, seed: u64) {
    const RANK: usize = 2;
    std::fs::create_dir_all(folder).unwrap();
    let config = json!({
        "peft_type": "LORA", "r": RANK, "lora_alpha": 64, "target_modules": ["q_proj", "v_proj"], "bias": "none",
        "task_type": "CAUSAL_LM", "base_model_name_or_path": "tiny",
    });
    write(folder, "adapter_config.json", &config);
    let mut numbers = Numbers(seed);
    let mut tensors = HashMap::new();
    for (module, rows) in [("q_proj", HIDDEN), ("v_proj", KV_WIDTH)] {
        let name = |part: &str| format!("base_model.model.model.layers.0.self_attn.{module}.{part}.weight");
        tensors.insert(name("lora_A"), numbers.tensor(RANK, HIDDEN));
        tensors.insert(name("lora_B"), numbers.tensor(rows, RANK));
    }
    candle_core::safetensors::save(&tensors, folder.join("adapter_model.safetensors")).unwrap();
}

struct Numbers(u64);

impl Numbers {
    /// Values from -0.5 to 0.5.
    fn tensor(&mut self, rows: usize, columns: usize) -> Tensor {
        let mut next = || {
            self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (self.0 >> 40) as f32 / (1u64 << 24) as f32 - 0.5
        };
        let values: Vec<f32> = (0..rows * columns).map(|_| next()).collect();
        Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap()
    }
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
        "max_position_embeddings": 16384, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": true,
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
    let mut numbers = Numbers(5);
    for (name, rows, columns) in matrices {
        tensors.insert(name, numbers.tensor(rows, columns));
    }
    candle_core::safetensors::save(&tensors, folder.join("model.safetensors")).unwrap();
}
