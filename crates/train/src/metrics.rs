//! `metrics.jsonl`: one object per optimizer step and one per measure of the held-out loss, for plots and for the record.
//! Every row goes out here, to TensorBoard's event files too where they are wanted.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::error::TrainError;
use crate::folder;
use crate::progress::StepReport;
use crate::tensorboard::{self, Events};

/// Key of the held-out loss.
const HELD_OUT: &str = "held_out_loss";

/// The open file.
#[derive(Debug)]
pub struct Metrics {
    file: File,
    path: PathBuf,
    /// Steps taken when it was opened.
    step: usize,
    events: Option<Events>,
}

impl Metrics {
    /// Opens `path` to continue after `step` steps: lines of later steps, from before an interruption, are removed,
    /// and held-out losses after training, which are measured again.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn open(path: &Path, step: usize) -> Result<Metrics, TrainError> {
        let earlier = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            // The record must not be written over because it could not be read.
            read => read.map_err(TrainError::read_back(path))?,
        };
        let is_earlier = |line: &&str| {
            let row: Option<Value> = serde_json::from_str(line).ok();
            row.is_some_and(|row| {
                let found = row["step"].as_u64();
                found == Some(0) || row[HELD_OUT].is_null() && found.is_some_and(|found| found <= step as u64)
            })
        };
        let kept: String = earlier.lines().filter(is_earlier).map(|line| format!("{line}\n")).collect();
        folder::write_file(path, kept.as_bytes())?;
        let file = OpenOptions::new().append(true).open(path).map_err(TrainError::write(path))?;
        Ok(Metrics { file, path: path.to_owned(), step, events: None })
    }

    /// Writes every row from now on to event files of TensorBoard beside the file, too, if they are wanted.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn with_tensorboard(mut self, is_wanted: bool) -> Result<Metrics, TrainError> {
        if !is_wanted {
            return Ok(self);
        }
        let mut events = Events::begin(&self.path.with_file_name(tensorboard::FOLDER), self.step)?;
        // What the steps before have written of this one is forgotten with what came after it.
        let kept = std::fs::read_to_string(&self.path).map_err(TrainError::read_back(&self.path))?;
        for row in kept.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            if self.step > 0 && row["step"].as_u64() == Some(self.step as u64) {
                events.row(&row)?;
            }
        }
        self.events = Some(events);
        Ok(self)
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
        self.append(&row)
    }

    /// Appends the held-out loss after `step` steps, nats per token.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn held_out(&mut self, step: usize, loss: f64) -> Result<(), TrainError> {
        self.append(&json!({"step": step, HELD_OUT: loss}))
    }

    fn append(&mut self, row: &Value) -> Result<(), TrainError> {
        self.file.write_all(format!("{row}\n").as_bytes()).map_err(TrainError::write(&self.path))?;
        self.events.as_mut().map_or(Ok(()), |events| events.row(row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_cannot_be_read_is_not_written_over() {
        let room = tempfile::tempdir().expect("a folder");
        let path = room.path().join("metrics.jsonl");
        std::fs::write(&path, b"{\"step\": 1}\n\xff\n").expect("a file");
        let error = Metrics::open(&path, 1).expect_err("not UTF-8");
        assert!(error.to_string().contains("cannot read"), "{error}");
        assert_eq!(std::fs::read(&path).expect("still there"), b"{\"step\": 1}\n\xff\n");
    }

    #[test]
    fn going_on_keeps_the_loss_before_training_and_measures_the_other_again() {
        let room = tempfile::tempdir().expect("a folder");
        let path = room.path().join("metrics.jsonl");
        let mut metrics = Metrics::open(&path, 0).expect("a new file");
        metrics.held_out(0, 2.5).expect("written");
        metrics.held_out(6, 1.5).expect("written");
        let mut metrics = Metrics::open(&path, 6).expect("the file");
        metrics.held_out(6, 1.25).expect("written");
        let text = std::fs::read_to_string(&path).expect("the file");
        assert_eq!(text, "{\"step\":0,\"held_out_loss\":2.5}\n{\"step\":6,\"held_out_loss\":1.25}\n");
    }
}
