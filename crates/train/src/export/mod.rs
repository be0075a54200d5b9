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
use codeact_model::{Adapter, Decoder, FullWeights, ModelConfig, ModelError, Weights, merge_and_save, save_trained};

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
/// When something cannot be written; then neither is left half-written. When an export cannot be read again, or computes
/// something else than the live model; then it is kept, and named.
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
    let fingerprint = prepare::model_hash(base.dir)?;
    let manifest = |agreement: &Agreement| Manifest {
        kind: Kind::Trained,
        base: base.name.to_owned(),
        base_fingerprint: Some(fingerprint.clone()),
        training: Some(training.clone()),
        agreement: agreement.clone(),
    };
    let write = |partial: &Path| {
        save_trained(base.dir, &weights, partial).map_err(TrainError::export(partial))?;
        // It is on the disk: one model at a time.
        drop(weights);
        save_format(partial, base)
    };
    let read = |partial: &Path| check.merged(partial, Rounding::trained(base.dir, check.weights, &check.device)?);
    write_compared(&model, base.dir, &manifest, write, read)?.require(&model)?;
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
    let manifest = |kind, agreement: &Agreement| Manifest {
        kind,
        base: base.name.to_owned(),
        base_fingerprint: Some(fingerprint.clone()),
        training: Some(training.clone()),
        agreement: agreement.clone(),
    };
    let write = |partial: &Path| {
        adapter.save(partial, base.name).map_err(TrainError::export(partial))?;
        save_format(partial, base)
    };
    let read = |partial: &Path| check.adapter(partial, base.dir, Rounding::same(&check.device));
    let of_adapter = write_compared(&of_run, base.dir, &|agreement| manifest(Kind::Adapter, agreement), write, read)?;
    let write = |partial: &Path| {
        merge_and_save(base.dir, adapter, partial).map_err(TrainError::export(partial))?;
        save_format(partial, base)
    };
    let read = |partial: &Path| check.merged(partial, Rounding::merged(base.dir, check.weights)?);
    let of_merged = write_compared(&merged, base.dir, &|agreement| manifest(Kind::Merged, agreement), write, read)?;
    for (agreement, path) in [(of_adapter, &of_run), (of_merged, &merged)] {
        agreement.require(path)?;
    }
    Ok(Exports { adapter: Some(of_run), model: merged })
}

/// Writes a folder as a whole, reads it again, and says how far it is from the model it was made of. One that cannot be
/// read again stays, without card and manifest: it is all there, and what was in the way may be the base, or memory.
fn write_compared(
    target: &Path,
    base_dir: &Path,
    manifest: &dyn Fn(&Agreement) -> Manifest,
    write: impl FnOnce(&Path) -> Result<(), TrainError>,
    read: impl FnOnce(&Path) -> Result<Agreement, ModelError>,
) -> Result<Agreement, TrainError> {
    let mut found = None;
    folder::write_whole(target, |partial| {
        write(partial)?;
        let compared = read(partial);
        let finished = match &compared {
            Ok(agreement) => finish_folder(partial, target, &manifest(agreement), base_dir),
            Err(_) => Ok(()),
        };
        found = Some(compared);
        finished
    })?;
    let compared = found.expect("it was written");
    compared.map_err(|source| TrainError::NotRead { path: target.to_owned(), source })
}

impl Check {
    /// The base with the adapter in `folder`.
    fn adapter(&self, folder: &Path, base: &Path, rounding: Rounding) -> Result<Agreement, ModelError> {
        let decoder = Decoder::load(base, self.weights, &self.device)?;
        let adapter = Adapter::load(folder, decoder.config(), &self.device)?;
        self.reference.with_decoder(&decoder, Some(&adapter), rounding)
    }

    /// The model in `folder`.
    fn merged(&self, folder: &Path, rounding: Rounding) -> Result<Agreement, ModelError> {
        let decoder = Decoder::load(folder, self.weights, &self.device)?;
        self.reference.with_decoder(&decoder, None, rounding)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_and_cannot_be_read_again_is_kept_and_told() {
        let room = tempfile::tempdir().expect("a folder");
        let target = room.path().join("adapter");
        let write = |partial: &Path| folder::write_file(&partial.join("weights"), b"1");
        let read = |_: &Path| Err(ModelError::Batch("no memory".to_owned()));
        let unread = |_: &Agreement| -> Manifest { unreachable!("nothing was compared") };
        let error = write_compared(&target, room.path(), &unread, write, read).expect_err("it was not read");
        assert!(matches!(&error, TrainError::NotRead { path, .. } if *path == target) && error.exit_code() == 1);
        let report = error.report();
        assert!(report.starts_with(&format!("`{}` was written, ", target.display())), "{report}");
        assert!(report.contains("no memory") && report.contains("\nhint: "), "{report}");
        assert_eq!(std::fs::read(target.join("weights")).expect("it is kept"), b"1");
        assert!(!target.join(manifest::FILE).exists());
        // What cannot be written is not.
        let write = |partial: &Path| folder::write_file(&partial.join("none").join("weights"), b"1");
        let other = room.path().join("merged");
        let read = |_: &Path| -> Result<Agreement, ModelError> { unreachable!("nothing was written") };
        write_compared(&other, room.path(), &unread, write, read).expect_err("there is no such folder");
        assert!(!other.exists());
    }
}
