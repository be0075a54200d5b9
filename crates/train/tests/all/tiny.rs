//! A model of two layers with random weights, its tokenizer and its data, in a folder that vanishes with the value.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use candle_core::{Device, Tensor};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::{Value, json};
use tempfile::TempDir;

const CHATML: &str = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}\
    {% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/// Width and layers of a model. Its MLP is twice as wide, its keys and values are half as wide.
type Shape = (usize, usize);

const SMALL: Shape = (32, 2);
const WIDE: Shape = (256, 6);

/// Model, data, settings and room for runs.
pub struct Tiny(TempDir);

impl Tiny {
    /// An instruct model: ChatML in tokenizer and template.
    pub fn new() -> Tiny {
        Tiny::with_tokens(&["<|endoftext|>", "<|im_start|>", "<|im_end|>"], Some(CHATML), 0)
    }

    /// A base model: no template, and no tokens for one.
    pub fn base() -> Tiny {
        Tiny::with_tokens(&["<|endoftext|>"], None, 0)
    }

    /// A base model whose embedding has two rows more than its tokenizer has tokens.
    pub fn padded() -> Tiny {
        Tiny::with_tokens(&["<|endoftext|>"], None, 2)
    }

    /// An instruct model with weights, 14 MB of them, that are large beside all else of a run.
    pub fn wide() -> Tiny {
        let tiny = Tiny::new();
        write_weights(&tiny.path("model"), 3 + 256, WIDE);
        tiny
    }

    fn with_tokens(controls: &[&str], template: Option<&str>, spare_rows: usize) -> Tiny {
        let tiny = Tiny(tempfile::tempdir().unwrap());
        std::fs::create_dir(tiny.path("model")).unwrap();
        write_tokenizer(&tiny.path("model"), controls, template);
        write_weights(&tiny.path("model"), controls.len() + 256 + spare_rows, SMALL);
        tiny.write_data("train.jsonl", 24);
        tiny.write_data("validation.jsonl", 4);
        tiny.write("settings.toml", &tiny.settings());
        tiny
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, content: &str) {
        std::fs::write(self.path(name), content).unwrap();
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Adds a `[[data]]` that has this file, and more settings, behind those that are there.
    pub fn add_source(&self, file: &str, settings: &str) {
        let before = String::from_utf8(self.read("settings.toml")).unwrap();
        let added = format!("[[data]]\npath = {:?}\n{settings}[train]", self.path(file));
        self.write("settings.toml", &before.replace("[train]", &added));
    }

    /// Steps of up to two packs of up to three conversations each: six in an epoch, give or take one.
    fn settings(&self) -> String {
        format!(
            "[model]\nname = {:?}\n[lora]\nrank = 4\nalpha = 16\n[[data]]\npath = {:?}\n\
             [[data]]\npath = {:?}\nheld_out = true\n\
             [train]\nsteps = 6\npack_tokens = 220\naccumulation = 2\ndtype = \"f32\"\nthreads = 2\nrecompute = \"none\"\n\
             [optimizer]\nlearning_rate = 2e-2\n[checkpoint]\nevery = 3\n\
             [output]\ndir = {:?}\nprofile = \"quickstart\"\n",
            self.path("model"),
            self.path("train.jsonl"),
            self.path("validation.jsonl"),
            self.path("run"),
        )
    }

    pub fn write_data(&self, name: &str, count: usize) {
        let rows = (0..count).map(|index| {
            let turns = json!([
                {"role": "user", "content": format!("add {index}")},
                {"role": "assistant", "content": format!("{index} and one is {}", index + 1)},
            ]);
            json!({"id": format!("row {index}"), "conversations": turns}).to_string() + "\n"
        });
        self.write(name, &rows.collect::<String>());
    }

    /// The trainer's command line.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_codeact-train"));
        command.arg("--config").arg(self.path("settings.toml")).args(arguments).current_dir(self.0.path());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ended {
        Ended::new(self.command(arguments).output().unwrap())
    }
}

/// How the trainer ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    pub fn new(output: Output) -> Ended {
        Ended {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    pub fn expect_code(self, code: i32) -> Ended {
        assert_eq!(self.code, Some(code), "stderr:\n{}", self.stderr);
        self
    }

    #[track_caller]
    pub fn says(self, text: &str) -> Ended {
        assert!(self.stderr.contains(text), "no `{text}` in:\n{}", self.stderr);
        self
    }
}

/// Names in a folder, sorted.
pub fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Byte-level BPE of control tokens, the last of which ends a sequence, and 256 bytes.
fn write_tokenizer(dir: &Path, controls: &[&str], template: Option<&str>) {
    let mut bytes: Vec<char> = ('!'..='~').chain('¡'..='¬').chain('®'..='ÿ').collect();
    bytes.extend((0x100..0x144).map(|code| char::from_u32(code).unwrap()));
    let tokens = controls.iter().map(|token| token.to_string()).chain(bytes.iter().map(char::to_string));
    let vocabulary: Value = tokens.enumerate().map(|(id, token)| (token, json!(id))).collect();
    let byte_level = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    let special = |id: usize| {
        json!({"id": id, "content": controls[id], "single_word": false, "lstrip": false, "rstrip": false,
               "normalized": false, "special": true})
    };
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": (0..controls.len()).map(special).collect::<Vec<_>>(),
        "normalizer": null, "pre_tokenizer": byte_level, "post_processor": byte_level, "decoder": byte_level,
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "fuse_unk": false, "byte_fallback": false,
                  "vocab": vocabulary, "merges": []}
    });
    let mut config = json!({"eos_token": controls.last()});
    if let Some(template) = template {
        config["chat_template"] = json!(template);
    }
    std::fs::write(dir.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    std::fs::write(dir.join("tokenizer_config.json"), config.to_string()).unwrap();
}

fn write_weights(dir: &Path, vocabulary: usize, (hidden, layers): Shape) {
    let (intermediate, kv) = (2 * hidden, hidden / 2);
    let config = json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
        "hidden_size": hidden, "intermediate_size": intermediate, "num_hidden_layers": layers,
        "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": vocabulary,
        "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "tie_word_embeddings": true, "torch_dtype": "float32", "bos_token_id": 1, "eos_token_id": 2
    });
    std::fs::write(dir.join("config.json"), config.to_string()).unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let mut tensors = HashMap::new();
    let mut add = |name: String, shape: &[usize]| {
        let count = shape.iter().product();
        let mut value = || (random.next_u32() as f32 / u32::MAX as f32 - 0.5) * 0.4;
        let values: Vec<f32> = match shape.len() {
            1 => vec![1.0; count],
            _ => (0..count).map(|_| value()).collect(),
        };
        tensors.insert(name, Tensor::from_vec(values, shape, &Device::Cpu).unwrap());
    };
    add("model.embed_tokens.weight".to_owned(), &[vocabulary, hidden]);
    add("model.norm.weight".to_owned(), &[hidden]);
    for layer in 0..layers {
        for (name, shape) in [
            ("input_layernorm", &[hidden][..]),
            ("post_attention_layernorm", &[hidden]),
            ("self_attn.q_proj", &[hidden, hidden]),
            ("self_attn.k_proj", &[kv, hidden]),
            ("self_attn.v_proj", &[kv, hidden]),
            ("self_attn.o_proj", &[hidden, hidden]),
            ("mlp.gate_proj", &[intermediate, hidden]),
            ("mlp.up_proj", &[intermediate, hidden]),
            ("mlp.down_proj", &[hidden, intermediate]),
        ] {
            add(format!("model.layers.{layer}.{name}.weight"), shape);
        }
    }
    candle_core::safetensors::save(&tensors, dir.join("model.safetensors")).unwrap();
}
