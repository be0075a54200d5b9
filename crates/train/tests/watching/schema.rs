//! The schema of the settings against a validator of others: what the trainer takes it takes, and refuses what it can.

use std::path::{Path, PathBuf};

use codeact_train::config::Config;
use jsonschema::Validator;
use serde_json::Value;

fn validator() -> Validator {
    let schema = Config::schema();
    assert!(jsonschema::meta::is_valid(&schema), "the schema is not a schema");
    jsonschema::validator_for(&schema).unwrap()
}

fn json(text: &str) -> Value {
    serde_json::to_value(text.parse::<toml::Table>().unwrap()).unwrap()
}

fn configs() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    // The server's has a type of its own.
    paths.filter(|path| path.extension().is_some_and(|end| end == "toml") && !path.ends_with("serve.toml")).collect()
}

#[test]
fn the_configs_of_the_project_and_what_they_resolve_to_are_valid() {
    let validator = validator();
    assert!(configs().len() >= 3);
    for path in configs() {
        let text = std::fs::read_to_string(&path).unwrap();
        for text in [text.clone(), Config::parse(&text, &path, &[]).unwrap().resolved()] {
            let errors: Vec<String> = validator
                .iter_errors(&json(&text))
                .map(|error| format!("{}: {error}", error.instance_path()))
                .collect();
            assert!(errors.is_empty(), "{}: {errors:#?}", path.display());
        }
    }
}

/// A key with a value that is wrong.
const WRONG: [&str; 41] = [
    "model.name = 5",
    "model.name = \" \"",
    "model.chat_format = \"chatMl\"",
    "model.colour = \"red\"",
    "lora.rank = 0",
    "lora.rank = 1.5",
    "lora.alpha = 0",
    "lora.dropout = 1.0",
    "lora.targets = []",
    "lora.targets = [\"q_proj\", \"q_proj\"]",
    "lora.targets = \"q_proj\"",
    "train.steps = 0",
    "train.epochs = 10000001",
    "train.pack_tokens = 1",
    "train.accumulation = 0",
    "train.threads = 1025",
    "train.dtype = \"f16\"",
    "train.too_long = true",
    "train.seed = -1",
    "optimizer.learning_rate = 0.0",
    "optimizer.beta1 = 1.0",
    "optimizer.eps = 0",
    "optimizer.weight_decay = -0.1",
    "optimizer.min_lr_ratio = 1.1",
    "checkpoint.keep_last = 0",
    "preference.beta = 0",
    "preference.sft_weight = -0.5",
    "preference.gamma = 1",
    "output.profile = \"quick\"",
    "output.action_format = \"yaml\"",
    "output.overwrite = \"yes\"",
    "data.0.weight = 0",
    "data.0.repeat = 0",
    "data.0.held_out = \"all\"",
    "data.0.roles_to_train = [\"human\"]",
    "data.0.filter.turns = 5",
    "flywheel.rounds = 0",
    "flywheel.practice = []",
    "flywheel.temperature = -1",
    "flywheel.train_from = \"start\"",
    "evalution.every = 5",
];

#[test]
fn broken_settings_are_refused_by_both() {
    let validator = validator();
    let text = std::fs::read_to_string(&configs()[0]).unwrap();
    for wrong in WRONG {
        let (key, value) = wrong.split_once(" = ").unwrap();
        let error = Config::parse(&text, Path::new("x.toml"), &[format!("{key}={value}")]).unwrap_err().to_string();
        assert!(error.contains(key.split('.').next().unwrap()), "{wrong}: {error}");
        let mut settings = json(&text);
        let mut place = &mut settings;
        for part in key.split('.') {
            place = match part.parse::<usize>() {
                Ok(index) => &mut place[index],
                Err(_) => &mut place[part],
            };
        }
        *place = json(&format!("value = {value}"))["value"].clone();
        assert!(!validator.is_valid(&settings), "the schema takes {wrong}");
    }
}

#[test]
fn keys_that_exclude_or_need_each_other_are_refused_by_both() {
    let validator = validator();
    let text =
        std::fs::read_to_string(configs().iter().find(|path| path.ends_with("quickstart.toml")).unwrap()).unwrap();
    for (from, to) in [
        ("warmup_ratio = 0.03", "warmup_ratio = 0.03\nwarmup_steps = 3"),
        ("path = \"data/quickstart/codeact.jsonl\"", "repeat = 2"),
        ("path = \"data/quickstart/codeact.jsonl\"", "path = \"a\"\nhub = \"a/b\""),
        ("path = \"data/quickstart/codeact.jsonl\"", "path = \"a\"\nsplit = \"b\""),
        ("path = \"data/quickstart/codeact.jsonl\"", "path = \"a\"\nweight = 1.0\nrepeat = 2"),
        ("rank = 16", ""),
        ("dir = \"checkpoints/runs/quickstart\"", ""),
    ] {
        let broken = text.replace(from, to);
        assert_ne!(broken, text, "{from}");
        assert!(Config::parse(&broken, Path::new("x.toml"), &[]).is_err(), "the trainer takes {to:?}");
        assert!(!validator.is_valid(&json(&broken)), "the schema takes {to:?}");
    }
    let nothing = "[model]\nname = \"a\"\n[lora]\nrank = 1\nalpha = 1\n[train]\npack_tokens = 9\n\
                   [optimizer]\nlearning_rate = 1e-3\n[output]\ndir = \"b\"\n";
    for data in ["", "data = []\n", "data = [{ path = \"a\", held_out = true }]\n"] {
        let broken = format!("{data}{nothing}");
        assert!(Config::parse(&broken, Path::new("x.toml"), &[]).is_err(), "{data}");
        assert!(!validator.is_valid(&json(&broken)), "the schema takes {data:?}");
    }
}
