//! What a run leaves for others, and what its commands make of that: a PEFT adapter, a merged or trained Hugging Face
//! folder, a GGUF file.
//!
//! Each is read again before it counts as done: its logits are compared with those of the model it was made of, and the
//! difference is written into its `manifest.json`.

pub mod command; // `codeact-train merge`, `gguf`, `push`
pub mod probe; // the tokens on which logits are compared

mod agreement; // how far two models are apart, and how far they may be
mod card; // README.md
mod manifest; // manifest.json
mod markdown; // text of others in Markdown
mod origin; // what a command makes an export of
mod push; // to the hub
mod target; // where an export may go
mod training; // what a run was

pub use agreement::{Agreement, Reference};
pub use training::Training;

use std::path::{Path, PathBuf};

use candle_core::{DType, Device};
use codeact_agent::Wording;
use codeact_chat::ChatFormat;
use codeact_model::{Adapter, Decoder, FullWeights, ModelConfig, Weights, merge_and_save, save_trained};

use crate::error::TrainError;
use crate::folder;
use crate::prepare::{self, Prepared};
use crate::trained::Trained;
use agreement::Rounding;
use card::Card;
use manifest::{Kind, Manifest};
use probe::Probe;

/// Where the results are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exports {
    /// PEFT adapter; `None` where all weights were trained.
    pub adapter: Option<PathBuf>,
    /// Base model with the adapter merged in, or with the weights as they were trained.
    pub model: PathBuf,
}

/// What the exports are made of besides the adapter.
#[derive(Debug, Clone, Copy)]
pub struct Base<'a> {
    /// The name in the settings, which PEFT looks up.
    pub name: &'a str,
    /// The folder it was found in.
    pub dir: &'a Path,
    /// Tokenizer and template the adapter was trained with.
    pub format: &'a ChatFormat,
    /// Prompt style and form of actions of the agent.
    pub wording: &'a Wording,
}

/// What the live model says, to hold the exports to, and how the exports are to be loaded for that.
#[derive(Debug)]
pub struct Check {
    /// Logits of the model as it was trained.
    pub reference: Reference,
    /// How its weights were kept.
    pub weights: Weights,
    /// Where it computed.
    pub device: Device,
}

impl Check {
    /// Asks the live model, on the first conversations that are held out, or else learned.
    ///
    /// # Errors
    /// When the data cannot be read any more, or an operation fails.
    pub fn of_run(run: &Prepared, decoder: &Decoder, trained: &Trained) -> Result<Check, TrainError> {
        let probe = Probe::of_data(&run.data)?;
        let reference = Reference::of(decoder, trained.adapter(), probe).map_err(TrainError::Load)?;
        let device = trained.parameters().device().clone();
        Ok(Check { reference, weights: run.config.weights(), device })
    }
}

/// Writes `<dir>/adapter` and `<dir>/merged`, or where all weights were trained `<dir>/model`, each with tokenizer, chat template, stop tokens, `codeact.json`, a model card
/// and a manifest. Each is loaded once more and compared with `check`; nothing else of the model may be in memory.
///
/// # Errors
/// When something cannot be written; then neither is left half-written. When an export computes something else than the
/// live model; then it is kept, and named.
pub fn export(
    dir: &Path,
    trained: Trained,
    base: Base<'_>,
    check: &Check,
    training: &Training,
) -> Result<Exports, TrainError> {
    match trained {
        Trained::Adapter(adapter) => export_adapter(dir, &adapter, base, check, training),
        Trained::Weights(weights) => export_weights(dir, weights, base, check, training),
    }
}

fn export_weights(
    dir: &Path,
    weights: FullWeights,
    base: Base<'_>,
    check: &Check,
    training: &Training,
) -> Result<Exports, TrainError> {
    let model = dir.join("model");
    let (fingerprint, mut found) = (prepare::model_hash(base.dir)?, None);
    folder::write_whole(&model, |partial| {
        save_trained(base.dir, &weights, partial).map_err(TrainError::export(partial))?;
        // It is on the disk: one model at a time.
        drop(weights);
        save_format(partial, base)?;
        let rounding = Rounding::trained(base.dir, check.weights, &check.device).map_err(TrainError::Load)?;
        let agreement = found.insert(check.merged(partial, rounding)?);
        let manifest = Manifest {
            kind: Kind::Trained,
            base: base.name.to_owned(),
            base_fingerprint: Some(fingerprint),
            training: Some(training.clone()),
            agreement: agreement.clone(),
        };
        finish_folder(partial, &model, &manifest, base.dir)
    })?;
    found.expect("it was written").require(&model)?;
    Ok(Exports { adapter: None, model })
}

fn export_adapter(
    dir: &Path,
    adapter: &Adapter,
    base: Base<'_>,
    check: &Check,
    training: &Training,
) -> Result<Exports, TrainError> {
    let (of_run, merged) = (dir.join("adapter"), dir.join("merged"));
    let fingerprint = prepare::model_hash(base.dir)?;
    let (mut of_adapter, mut of_merged) = (None, None);
    let manifest = |kind, agreement: &Agreement| Manifest {
        kind,
        base: base.name.to_owned(),
        base_fingerprint: Some(fingerprint.clone()),
        training: Some(training.clone()),
        agreement: agreement.clone(),
    };
    folder::write_whole(&of_run, |partial| {
        adapter.save(partial, base.name).map_err(TrainError::export(partial))?;
        save_format(partial, base)?;
        let rounding = Rounding::same(&check.device);
        let agreement = of_adapter.insert(check.adapter(partial, base.dir, rounding)?);
        finish_folder(partial, &of_run, &manifest(Kind::Adapter, agreement), base.dir)
    })?;
    folder::write_whole(&merged, |partial| {
        merge_and_save(base.dir, adapter, partial).map_err(TrainError::export(partial))?;
        save_format(partial, base)?;
        let rounding = Rounding::merged(base.dir, check.weights).map_err(TrainError::Load)?;
        let agreement = of_merged.insert(check.merged(partial, rounding)?);
        finish_folder(partial, &merged, &manifest(Kind::Merged, agreement), base.dir)
    })?;
    for (agreement, path) in [(of_adapter, &of_run), (of_merged, &merged)] {
        agreement.expect("it was written").require(path)?;
    }
    Ok(Exports { adapter: Some(of_run), model: merged })
}

impl Check {
    /// The base with the adapter in `folder`.
    fn adapter(&self, folder: &Path, base: &Path, rounding: Rounding) -> Result<Agreement, TrainError> {
        let decoder = Decoder::load(base, self.weights, &self.device).map_err(TrainError::export(folder))?;
        let adapter = Adapter::load(folder, decoder.config(), &self.device).map_err(TrainError::export(folder))?;
        self.reference.with_decoder(&decoder, Some(&adapter), rounding).map_err(TrainError::export(folder))
    }

    /// The model in `folder`.
    fn merged(&self, folder: &Path, rounding: Rounding) -> Result<Agreement, TrainError> {
        let decoder = Decoder::load(folder, self.weights, &self.device).map_err(TrainError::export(folder))?;
        self.reference.with_decoder(&decoder, None, rounding).map_err(TrainError::export(folder))
    }
}

/// Card and manifest, the last files of a folder that will lie at `target`.
fn finish_folder(folder: &Path, target: &Path, manifest: &Manifest, base_dir: &Path) -> Result<(), TrainError> {
    let card = Card { manifest, target, license: card::license_of(base_dir) };
    folder::write_file(&folder.join("README.md"), card.text().as_bytes())?;
    manifest.write(folder)
}

fn save_format(dir: &Path, base: Base<'_>) -> Result<(), TrainError> {
    base.format.save(dir).map_err(TrainError::format)?;
    base.wording.save(dir).map_err(TrainError::wording(dir))
}

/// How a command loads models: as exactly as memory allows.
fn weights_that_fit(config: &ModelConfig) -> Weights {
    let need = |dtype| config.weight_bytes(dtype);
    match crate::memory::budget(&Device::Cpu) {
        Ok(Some(budget)) if need(DType::BF16) > budget => Weights::Nf4,
        Ok(Some(budget)) if need(DType::F32) > budget => Weights::Bf16,
        _ => Weights::F32,
    }
}
