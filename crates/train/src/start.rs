//! Starting from an adapter that is there: what it is, and whether the settings agree with it.

use std::path::{Path, PathBuf};

use candle_core::Device;
use codeact_data::hash;
use codeact_model::{Adapter, LoraConfig, ModelConfig, ModelError, Target};

use crate::config::{Config, Lora};
use crate::error::TrainError;

/// An adapter to start from.
#[derive(Debug)]
pub struct StartingAdapter {
    /// Its folder.
    pub folder: PathBuf,
    /// Tokens that it adds to the vocabulary.
    pub new_token_count: usize,
    /// Of its weights.
    pub content_hash: String,
}

impl StartingAdapter {
    /// Reads `model.adapter`, if the settings name one, and fills what `[lora]` leaves out as it is there,
    /// but for the dropout of a run that learns from pairs.
    ///
    /// # Errors
    /// When it cannot be read, does not fit the model, lies where the run will write, or has another shape than the
    /// settings say.
    pub fn find(config: &mut Config, model: &ModelConfig) -> Result<Option<StartingAdapter>, TrainError> {
        let Some(name) = config.model.adapter.clone() else {
            return Ok(None);
        };
        let folder = PathBuf::from(&name);
        if !folder.join("adapter_config.json").is_file() {
            return Err(wrong(
                "model.adapter",
                format!("`{name}` has no `adapter_config.json`"),
                "name a folder of PEFT, or `adapter` or `step-...` of a run",
            ));
        }
        if lies_in(&folder, Path::new(&config.output.dir)) {
            return Err(wrong(
                "model.adapter",
                format!("`{name}` lies in `output.dir`, which the run writes"),
                "choose another `output.dir`",
            ));
        }
        let adapter = Adapter::load(&folder, model, &Device::Cpu).map_err(TrainError::Load)?;
        // The settings are checked: a run of all weights starts from no adapter.
        config.lora.as_mut().map_or(Ok(()), |lora| lora.take(adapter.config(), model.layer_count))?;
        // Pairs are learned without dropout, whatever the adapter was trained with.
        if config.pairs().is_some() {
            config.lora.iter_mut().for_each(|lora| lora.dropout = 0.0);
        }
        let path = folder.join("adapter_model.safetensors");
        let content_hash = hash::of_file(&path).map_err(|source| TrainError::Load(ModelError::Io { path, source }))?;
        Ok(Some(StartingAdapter { folder, new_token_count: adapter.new_token_count(), content_hash }))
    }

    /// Refuses a chat format that adds other tokens than the adapter has rows for.
    ///
    /// # Errors
    /// Names both counts.
    pub fn check_tokens(&self, added: usize) -> Result<(), TrainError> {
        if added == self.new_token_count {
            return Ok(());
        }
        let (folder, has) = (self.folder.display(), self.new_token_count);
        Err(wrong(
            "model.adapter",
            format!("`{folder}` has rows for {has} new tokens, and the chat format adds {added}"),
            "set `model.chat_format` as the adapter was trained with",
        ))
    }

    /// The adapter, to be trained on.
    ///
    /// # Errors
    /// When it changed since it was found.
    pub fn load(&self, lora: &LoraConfig, model: &ModelConfig, device: &Device) -> Result<Adapter, TrainError> {
        let adapter = Adapter::load(&self.folder, model, device).map_err(TrainError::Load)?;
        Ok(adapter.with_dropout(lora.dropout))
    }
}

fn wrong(key: &str, what: String, hint: &'static str) -> TrainError {
    TrainError::Setting { key: key.to_owned(), what, hint }
}

fn lies_in(path: &Path, folder: &Path) -> bool {
    matches!((path.canonicalize(), folder.canonicalize()), (Ok(path), Ok(folder)) if path.starts_with(&folder))
}

/// Rank and scaling of every pair.
fn pairs(lora: &LoraConfig, layer_count: usize) -> Vec<Option<codeact_model::PairShape>> {
    (0..layer_count).flat_map(|layer| Target::ALL.map(|target| lora.pair(layer, target))).collect()
}

/// The keys that say which pairs there are.
const KEYS: [&str; 8] = ["rank", "alpha", "rslora", "dora", "targets", "layers", "rank_pattern", "alpha_pattern"];

/// The adapter with what the settings say of one key.
fn changed(adapter: &LoraConfig, mine: &LoraConfig, key: &str) -> LoraConfig {
    let (adapter, mine) = (adapter.clone(), mine.clone());
    match key {
        "rank" => LoraConfig { rank: mine.rank, ..adapter },
        "alpha" => LoraConfig { alpha: mine.alpha, ..adapter },
        "rslora" => LoraConfig { rslora: mine.rslora, ..adapter },
        "dora" => LoraConfig { dora: mine.dora, ..adapter },
        "targets" => LoraConfig { targets: mine.targets, ..adapter },
        "layers" => LoraConfig { layers: mine.layers, ..adapter },
        "rank_pattern" => LoraConfig { rank_pattern: mine.rank_pattern, ..adapter },
        _ => LoraConfig { alpha_pattern: mine.alpha_pattern, ..adapter },
    }
}

impl Lora {
    /// Takes over the shape of an adapter. A key that was written must not change any of its pairs.
    fn take(&mut self, adapter: &LoraConfig, layer_count: usize) -> Result<(), TrainError> {
        let there = pairs(adapter, layer_count);
        let mine = self.model_config();
        for key in KEYS.into_iter().filter(|key| self.written.has(key)) {
            let changed = changed(adapter, &mine, key);
            if pairs(&changed, layer_count) != there || changed.dora != adapter.dora {
                return Err(wrong(
                    &format!("lora.{key}"),
                    format!("is not that of `model.adapter`, which has {}", described(adapter, key)),
                    "leave it out: the adapter says it",
                ));
            }
        }
        let dropout = if self.written.has("dropout") { self.dropout } else { adapter.dropout };
        let written = self.written.clone();
        *self = Lora {
            rank: adapter.rank,
            alpha: adapter.alpha,
            rslora: adapter.rslora,
            dora: adapter.dora,
            dropout,
            targets: adapter.targets.clone(),
            layers: adapter.layers.clone(),
            rank_pattern: adapter.rank_pattern.clone().into(),
            alpha_pattern: adapter.alpha_pattern.clone().into(),
            written,
        };
        Ok(())
    }
}

/// What an adapter has for a key.
fn described(adapter: &LoraConfig, key: &str) -> String {
    match key {
        "rank" => adapter.rank.to_string(),
        "alpha" => format!("{:?}", adapter.alpha),
        "rslora" => adapter.rslora.to_string(),
        "dora" => adapter.dora.to_string(),
        "targets" => adapter.targets.iter().map(|target| target.name()).collect::<Vec<_>>().join(", "),
        "layers" => match &adapter.layers {
            Some(layers) => format!("{layers:?}"),
            None => "all".to_owned(),
        },
        "rank_pattern" => format!("{} patterns", adapter.rank_pattern.len()),
        _ => format!("{} patterns", adapter.alpha_pattern.len()),
    }
}
