//! What a run was, as its exports tell it.

use codeact_data::{Plan, plan};
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::prepare::Prepared;
use crate::standing::Solved;

/// A run in numbers: what was learned, from what, how, and where.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// `[model]`, `[lora]`, `[train]` and `[optimizer]`, as `config.toml` has them.
    pub settings: serde_json::Value,
    /// The processor or card.
    pub hardware: String,
    /// Tokens that were added to the vocabulary.
    pub new_tokens: usize,
    /// What was learned; `None` where only the settings are known.
    pub amount: Option<Amount>,
    /// One for each `[[data]]`.
    pub data: Vec<DataUsed>,
    /// Mean loss per supervised token before and after, in nats.
    pub held_out_loss: Option<(f64, f64)>,
    /// Held-out tasks that were solved by running code.
    #[serde(default)]
    pub solved: Option<Solved>,
}

/// How much was learned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Amount {
    /// Optimizer steps.
    pub steps: usize,
    /// Epochs begun.
    pub epochs: usize,
    /// Tokens of all steps.
    pub tokens: usize,
    /// Supervised ones among them.
    pub supervised_tokens: usize,
    /// Trainable values.
    pub parameters: usize,
}

/// A source of conversations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataUsed {
    /// As the settings name it.
    pub name: String,
    /// Its name on the hub, if it came from there.
    pub hub: Option<String>,
    /// Its licence, if the settings say it.
    pub license: Option<String>,
    /// Rows of its files.
    pub rows: usize,
    /// Conversations learned from.
    pub learned: usize,
    /// Conversations held out.
    pub held_out: usize,
    /// Tokens of both.
    pub tokens: usize,
    /// Supervised ones among them.
    pub supervised_tokens: usize,
    /// Part of the tokens of all steps.
    pub share: f64,
}

impl Training {
    /// A run up to step `step`, of which its results are.
    pub fn of_run(run: &Prepared, step: usize, held_out_loss: Option<(f64, f64)>) -> Training {
        let plan = Plan { steps: run.plan.steps[..step].to_vec() };
        let mut tokens = vec![0usize; run.config.data.len()];
        let documents = &run.data.train.documents;
        for index in plan.packs().flat_map(|pack: &plan::Pack| &pack.documents) {
            let document = documents[*index];
            if let Some(tokens) = tokens.get_mut(document.group) {
                *tokens += document.token_count;
            }
        }
        let all: usize = tokens.iter().sum();
        let sources = run.config.data.iter().enumerate();
        let data = sources.map(|(index, source)| {
            let files = run.data.reports.iter().filter(|report| report.source == index);
            let mut used = DataUsed {
                name: source.name(),
                hub: source.hub.clone(),
                license: source.license.clone(),
                rows: 0,
                learned: 0,
                held_out: 0,
                tokens: 0,
                supervised_tokens: 0,
                share: tokens[index] as f64 / all.max(1) as f64,
            };
            for file in files {
                used.rows += file.row_count;
                used.learned += file.train_count;
                used.held_out += file.held_out;
                used.tokens += file.token_count;
                used.supervised_tokens += file.target_count;
            }
            used
        });
        Training {
            settings: settings(&run.config),
            hardware: hardware(run),
            new_tokens: run.new_token_count,
            amount: Some(Amount {
                steps: plan.steps.len(),
                epochs: plan.epoch_count(),
                tokens: plan.token_count(),
                supervised_tokens: plan.target_count(),
                parameters: run.workload.parameter_count(),
            }),
            data: data.collect(),
            held_out_loss,
            solved: None,
        }
    }

    /// What the settings alone say, for a checkpoint.
    pub fn of_settings(config: &Config) -> Training {
        Training {
            settings: settings(config),
            hardware: String::new(),
            new_tokens: 0,
            amount: None,
            data: Vec::new(),
            held_out_loss: None,
            solved: None,
        }
    }
}

/// What shaped the numbers: where the run lay and what it kept is nobody else's business.
fn settings(config: &Config) -> serde_json::Value {
    let mut value = serde_json::to_value(config).expect("tables of plain values are JSON");
    if let Some(tables) = value.as_object_mut() {
        tables.retain(|name, _| ["model", "lora", "train", "optimizer", "preference"].contains(&name.as_str()));
        if let Some(train) = tables.get_mut("train").and_then(|train| train.as_object_mut()) {
            train.retain(|key, _| !["cache", "threads"].contains(&key.as_str()));
        }
    }
    value
}

fn hardware(run: &Prepared) -> String {
    if run.device.as_ref().is_some_and(|device| !device.is_cpu()) {
        let name = codeact_ops::device::gpu(0).map(|gpu| gpu.name);
        return name.unwrap_or_else(|_| "an NVIDIA GPU".to_owned());
    }
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(':'));
    let model = model.map_or("a processor", |(_, name)| name.trim());
    format!("{model}, {} threads", rayon::current_num_threads())
}
