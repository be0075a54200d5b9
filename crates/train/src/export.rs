//! What a run leaves for others: a PEFT adapter and a merged Hugging Face folder.

use std::path::{Path, PathBuf};

use codeact_agent::Wording;
use codeact_chat::ChatFormat;
use codeact_model::{Adapter, merge_and_save};

use crate::error::TrainError;
use crate::folder;

/// Where the results are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exports {
    /// PEFT adapter.
    pub adapter: PathBuf,
    /// Base model with the adapter merged in.
    pub merged: PathBuf,
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

/// Writes `<dir>/adapter` and `<dir>/merged`, each with tokenizer, chat template, stop tokens and `codeact.json`.
///
/// # Errors
/// When something cannot be written; then neither is left half-written.
pub fn export(dir: &Path, adapter: &Adapter, base: Base<'_>) -> Result<Exports, TrainError> {
    let exports = Exports { adapter: dir.join("adapter"), merged: dir.join("merged") };
    folder::write_whole(&exports.adapter, |partial| {
        adapter.save(partial, base.name).map_err(TrainError::export(partial))?;
        save_format(partial, base)
    })?;
    folder::write_whole(&exports.merged, |partial| {
        merge_and_save(base.dir, adapter, partial).map_err(TrainError::export(partial))?;
        save_format(partial, base)
    })?;
    Ok(exports)
}

fn save_format(dir: &Path, base: Base<'_>) -> Result<(), TrainError> {
    base.format.save(dir).map_err(TrainError::format)?;
    base.wording.save(dir).map_err(TrainError::wording(dir))
}
