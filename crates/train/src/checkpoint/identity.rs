//! Of which run a checkpoint is.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::Config;

/// What must be the same for a checkpoint to be continued: settings by key, the data plan, the model.
pub type Identity = BTreeMap<String, String>;

/// Settings that may change between two parts of a run, because they do not change a bit of its numbers.
const FREE_KEYS: [&str; 4] = ["train.recompute", "train.threads", "train.cache", "model.adapter"];

/// Key of the content of the adapter that a run started from; where it lay does not matter.
pub const STARTING_ADAPTER: &str = "starting adapter";

/// Key of the tasks that an agent is given while it is trained, and how long it may talk about them.
pub const TASKS: &str = "tasks";

/// What makes a run this run.
///
/// `[guard]` is not part of it, though it decides which steps count: other settings of it are how a run goes on that it has
/// ended, and its errors say so.
///
/// * `plan_hash`: of the data plan, which also stands for the files and the chat template.
/// * `held_out_hash`: of the held-out data, so that its loss before and after training is of the same conversations.
/// * `model_hash`: of the base model.
pub fn identity(config: &Config, plan_hash: &str, held_out_hash: &str, model_hash: &str) -> Identity {
    let table = toml::Value::try_from(config).expect("tables of plain values are TOML");
    let mut identity = Identity::new();
    for name in ["model", "lora", "train", "optimizer", "preference"] {
        for (key, value) in table.get(name).and_then(toml::Value::as_table).into_iter().flatten() {
            identity.insert(format!("{name}.{key}"), value.to_string());
        }
    }
    if let Some(patterns) = config.lora.as_ref().map(|lora| &lora.rank_pattern).filter(|patterns| !patterns.is_empty())
    {
        identity.insert("lora.rank_pattern".to_owned(), patterns.to_string());
    }
    if let Some(patterns) = config.lora.as_ref().map(|lora| &lora.alpha_pattern).filter(|patterns| !patterns.is_empty())
    {
        identity.insert("lora.alpha_pattern".to_owned(), patterns.to_string());
    }
    identity.retain(|key, _| !FREE_KEYS.contains(&key.as_str()));
    identity.insert("data plan".to_owned(), plan_hash.to_owned());
    identity.insert("held-out data".to_owned(), held_out_hash.to_owned());
    identity.insert("base model".to_owned(), model_hash.to_owned());
    identity
}

/// What differs, a sentence each.
pub fn differences(there: &Identity, here: &Identity) -> Vec<String> {
    let unset = "unset".to_owned();
    let keys: BTreeSet<&String> = there.keys().chain(here.keys()).collect();
    let differing = keys.into_iter().filter(|key| there.get(*key) != here.get(*key));
    let sentence = |key: &String| match key.as_str() {
        "data plan" => "its data plan differs (data files, chat template, order or lengths)".to_owned(),
        "held-out data" => "its held-out data differs".to_owned(),
        STARTING_ADAPTER => {
            "it did not start from the adapter of `model.adapter`, or from another content of it".to_owned()
        }
        TASKS => {
            "its tasks differ (`evaluation.tasks`, `evaluation.task_count`, `evaluation.context_tokens`)".to_owned()
        }
        "base model" => "its base model had other weights".to_owned(),
        _ => {
            let value = |identity: &Identity| identity.get(key).unwrap_or(&unset).clone();
            format!("`{key}` was {} there and is {} here", value(there), value(here))
        }
    };
    differing.map(sentence).collect()
}
