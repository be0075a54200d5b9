//! Checkpoints: everything a run needs to go on as if it had never stopped.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use codeact_model::{Adapter, ModelConfig};
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::error::TrainError;
use crate::folder;
use crate::optimizer::Optimizer;

/// What must be the same for a checkpoint to be continued: settings by key, the data plan, the model.
pub type Identity = BTreeMap<String, String>;

/// `state.json`: all that is not a tensor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Format of the checkpoint.
    pub version: u32,
    /// Optimizer steps taken.
    pub step: usize,
    /// Tokens of a pass at most: with others the numbers agree to rounding, not bit for bit.
    pub pass_tokens: usize,
    /// Held-out loss of the model before training, nats per token.
    pub validation_loss_before: Option<f64>,
    /// Of which run it is.
    pub identity: Identity,
}

/// The format that this code writes and reads.
const VERSION: u32 = 2;

/// Settings that may change between two parts of a run, because they do not change a bit of its numbers.
const FREE_KEYS: [&str; 4] = ["train.recompute", "train.threads", "train.cache", "model.adapter"];

/// Key of the content of the adapter that a run started from; where it lay does not matter.
pub const STARTING_ADAPTER: &str = "starting adapter";

impl State {
    /// The state after `step` steps.
    pub fn new(step: usize, pass_tokens: usize, validation_loss_before: Option<f64>, identity: Identity) -> State {
        State { version: VERSION, step, pass_tokens, validation_loss_before, identity }
    }
}

/// What makes a run this run.
///
/// * `plan_hash`: of the data plan, which also stands for the files and the chat template.
/// * `held_out_hash`: of the held-out data, so that its loss before and after training is of the same conversations.
/// * `model_hash`: of the base model.
pub fn identity(config: &Config, plan_hash: &str, held_out_hash: &str, model_hash: &str) -> Identity {
    let table = toml::Value::try_from(config).expect("tables of plain values are TOML");
    let mut identity = Identity::new();
    for name in ["model", "lora", "train", "optimizer"] {
        for (key, value) in table[name].as_table().into_iter().flatten() {
            identity.insert(format!("{name}.{key}"), value.to_string());
        }
    }
    if !config.lora.rank_pattern.is_empty() {
        identity.insert("lora.rank_pattern".to_owned(), config.lora.rank_pattern.to_string());
    }
    if !config.lora.alpha_pattern.is_empty() {
        identity.insert("lora.alpha_pattern".to_owned(), config.lora.alpha_pattern.to_string());
    }
    identity.retain(|key, _| !FREE_KEYS.contains(&key.as_str()));
    identity.insert("data plan".to_owned(), plan_hash.to_owned());
    identity.insert("held-out data".to_owned(), held_out_hash.to_owned());
    identity.insert("base model".to_owned(), model_hash.to_owned());
    identity
}

/// Writes `<dir>/step-NNNNNN` and removes the oldest checkpoints beyond `keep_last`.
///
/// # Errors
/// When something cannot be written; then no folder of this step is left.
pub fn save(
    dir: &Path,
    state: &State,
    config: &Config,
    adapter: &Adapter,
    optimizer: &Optimizer,
) -> Result<PathBuf, TrainError> {
    let target = dir.join(folder::step_name(state.step));
    folder::write_whole(&target, |partial| {
        adapter.save(partial, &config.model.name).map_err(TrainError::export(partial))?;
        save_moments(&partial.join("optimizer.safetensors"), optimizer)?;
        let text = serde_json::to_string_pretty(state).expect("plain values are JSON") + "\n";
        for (name, text) in [("state.json", text), ("config.toml", config.resolved())] {
            let path = partial.join(name);
            std::fs::write(&path, text).map_err(TrainError::write(&path))?;
        }
        Ok(())
    })?;
    let mut kept = folder::checkpoints(dir);
    while kept.len() > config.checkpoint.keep_last {
        folder::remove(&kept.remove(0).1)?;
    }
    Ok(target)
}

fn save_moments(path: &Path, optimizer: &Optimizer) -> Result<(), TrainError> {
    let tensors = HashMap::from([("m", &optimizer.m), ("v", &optimizer.v)]);
    safetensors::serialize_to_file(tensors, None, path).map_err(|error| match error {
        safetensors::SafeTensorError::IoError(source) => TrainError::Write { path: path.to_owned(), source },
        other => TrainError::Write { path: path.to_owned(), source: std::io::Error::other(other) },
    })
}

/// Reads the state of a checkpoint and makes sure that it is of the run `identity`.
///
/// # Errors
/// Names everything that differs, or what is broken.
pub fn load_state(checkpoint: &Path, identity: &Identity) -> Result<State, TrainError> {
    let path = checkpoint.join("state.json");
    let bad = |what: String| TrainError::BadCheckpoint { path: path.clone(), what };
    let text = std::fs::read_to_string(&path).map_err(|error| bad(error.to_string()))?;
    let state: State = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
    if state.version != VERSION {
        return Err(bad(format!("has format {}, expected {VERSION}", state.version)));
    }
    let differences = differences(&state.identity, identity);
    if !differences.is_empty() {
        let checkpoint = checkpoint.display().to_string();
        return Err(TrainError::OtherRun { checkpoint, differences });
    }
    Ok(state)
}

fn differences(there: &Identity, here: &Identity) -> Vec<String> {
    let unset = "unset".to_owned();
    let keys: std::collections::BTreeSet<&String> = there.keys().chain(here.keys()).collect();
    let differing = keys.into_iter().filter(|key| there.get(*key) != here.get(*key));
    let sentence = |key: &String| match key.as_str() {
        "data plan" => "its data plan differs (data files, chat template, order or lengths)".to_owned(),
        "held-out data" => "its held-out data differs".to_owned(),
        STARTING_ADAPTER => {
            "it did not start from the adapter of `model.adapter`, or from another content of it".to_owned()
        }
        "base model" => "its base model had other weights".to_owned(),
        _ => {
            let value = |identity: &Identity| identity.get(key).unwrap_or(&unset).clone();
            format!("`{key}` was {} there and is {} here", value(there), value(here))
        }
    };
    differing.map(sentence).collect()
}

/// Reads the tensors of a checkpoint.
///
/// # Errors
/// When a file is missing, broken or of another shape.
pub fn load_tensors(
    checkpoint: &Path,
    step: usize,
    model: &ModelConfig,
    device: &Device,
) -> Result<(Adapter, Optimizer), TrainError> {
    let adapter = Adapter::load(checkpoint, model, device).map_err(TrainError::Load)?;
    let path = checkpoint.join("optimizer.safetensors");
    let bad = |what: String| TrainError::BadCheckpoint { path: path.clone(), what };
    let mut tensors = candle_core::safetensors::load(&path, device).map_err(|error| bad(error.to_string()))?;
    let mut take = |name: &str| -> Result<Tensor, TrainError> {
        let tensor = tensors.remove(name).ok_or_else(|| bad(format!("has no tensor `{name}`")))?;
        if tensor.dtype() != DType::F32 || tensor.dims() != [adapter.parameter_count()] {
            let what = format!("`{name}` is {:?} {:?}", tensor.dtype(), tensor.dims());
            return Err(bad(format!("{what}, expected F32 [{}]", adapter.parameter_count())));
        }
        Ok(tensor)
    };
    let (m, v) = (take("m")?, take("v")?);
    Ok((adapter, Optimizer { m, v, step: step as u64 }))
}
