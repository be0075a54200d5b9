//! Settings that are all right, to be spoilt by tests, and what is found wrong with them.

use std::path::Path;

use codeact_train::config::{Config, ConfigError, Problem};

pub const GOOD: &str = r#"
[model]
name = "some/model"

[lora]
rank = 8
alpha = 16

[[data]]
path = "a.jsonl"

[train]
pack_tokens = 512

[optimizer]
learning_rate = 1e-3

[output]
dir = "run"
"#;

pub fn load(text: &str, overrides: &[&str]) -> Result<Config, ConfigError> {
    let overrides: Vec<String> = overrides.iter().map(|typed| typed.to_string()).collect();
    Config::parse(text, Path::new("x.toml"), &overrides)
}

pub fn problems(text: &str, overrides: &[&str]) -> Vec<Problem> {
    match load(text, overrides) {
        Err(ConfigError::Problems { problems, .. }) => problems,
        other => panic!("expected problems, got {other:?}"),
    }
}
