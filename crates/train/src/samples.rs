//! `samples.jsonl`: what the model writes for the same prompts, one measure after the other.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::error::TrainError;
use crate::metrics::reopen;

/// What the model wrote for one prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The prompt.
    pub prompt: String,
    /// The reply; of a task all replies and observations, with an empty line between them.
    pub text: String,
    /// Name of the task, or of the `[[data]]` that holds the conversation out.
    pub source: String,
}

/// The open file.
#[derive(Debug)]
pub struct Samples {
    file: File,
    path: PathBuf,
}

impl Samples {
    /// Opens `path` to continue after `step` steps: rows of later steps, from before an interruption, are removed.
    ///
    /// * `is_known`: whether the samples after this very step count, or are written again.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn open(path: &Path, step: usize, is_known: bool) -> Result<Samples, TrainError> {
        Ok(Samples { file: reopen(path, step, &|_| is_known)?, path: path.to_owned() })
    }

    /// Appends what was written after `step` steps.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn append(&mut self, step: usize, written: &[Written]) -> Result<(), TrainError> {
        let rows = written.iter().map(|Written { prompt, text, source }| {
            json!({"step": step, "prompt": prompt, "text": text, "source": source}).to_string() + "\n"
        });
        self.file.write_all(rows.collect::<String>().as_bytes()).map_err(TrainError::write(&self.path))
    }

    /// Brings all rows to the disk.
    ///
    /// # Errors
    /// When the disk does not take them.
    pub fn sync(&self) -> Result<(), TrainError> {
        self.file.sync_data().map_err(TrainError::write(&self.path))
    }
}
