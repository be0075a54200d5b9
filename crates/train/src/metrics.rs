//! `metrics.jsonl`: one object per optimizer step, for plots and for the record.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::error::TrainError;
use crate::folder;
use crate::progress::StepReport;

/// The open file.
#[derive(Debug)]
pub struct Metrics {
    file: File,
    path: PathBuf,
}

impl Metrics {
    /// Opens `path` to continue after `step` steps: lines of later steps, from before an interruption, are removed.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn open(path: &Path, step: usize) -> Result<Metrics, TrainError> {
        let earlier = std::fs::read_to_string(path).unwrap_or_default();
        let is_earlier = |line: &&str| {
            let row: Option<Value> = serde_json::from_str(line).ok();
            row.and_then(|row| row["step"].as_u64()).is_some_and(|found| found <= step as u64)
        };
        let kept: String = earlier.lines().filter(is_earlier).map(|line| format!("{line}\n")).collect();
        folder::write_file(path, kept.as_bytes())?;
        let file = OpenOptions::new().append(true).open(path).map_err(TrainError::write(path))?;
        Ok(Metrics { file, path: path.to_owned() })
    }

    /// Appends a step.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn step(&mut self, report: &StepReport) -> Result<(), TrainError> {
        let row = json!({
            "step": report.step,
            "epoch": report.epoch,
            "loss": report.loss,
            "learning_rate": report.learning_rate,
            "gradient_norm": report.gradient_norm,
            "tokens": report.token_count,
            "supervised_tokens": report.target_count,
            "seconds": (report.seconds * 1e3).round() / 1e3,
        });
        self.file.write_all(format!("{row}\n").as_bytes()).map_err(TrainError::write(&self.path))
    }
}
