//! `metrics.jsonl`: one object per optimizer step and one per measure, for plots and for the record.
//! Every row goes out here, to TensorBoard's event files too where they are wanted.

use std::cmp::Ordering;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::error::TrainError;
use crate::evaluate::HeldOut;
use crate::folder;
use crate::preference::Rewards;
use crate::progress::StepReport;
use crate::tasks::Tried;
use crate::tensorboard::{self, Events};

/// Key of the held-out loss.
const HELD_OUT: &str = "held_out_loss";

/// Key of the part of the tasks that was solved.
const SUCCESS: &str = "success_rate";

/// What was measured after a step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Known {
    /// The held-out loss.
    pub loss: bool,
    /// Whether tasks are solved.
    pub success: bool,
    /// What says which step is the best.
    pub best: bool,
}

/// Opens a file of JSON lines to append to after `step` steps. Of what an interrupted run left stay the rows of earlier
/// steps, and of this very one those that `counts` says.
///
/// # Errors
/// When the file cannot be read or written.
pub(crate) fn reopen(path: &Path, step: usize, counts: &dyn Fn(&Value) -> bool) -> Result<File, TrainError> {
    let mut earlier = match std::fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        read => read.map_err(TrainError::read_back(path))?,
    };
    // A full disk or a crash may have cut the last line anywhere.
    earlier.truncate(earlier.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1));
    // The record must not be written over because it could not be read.
    let earlier = String::from_utf8(earlier).map_err(std::io::Error::other).map_err(TrainError::read_back(path))?;
    let is_earlier = |line: &&str| {
        let row: Option<Value> = serde_json::from_str(line).ok();
        row.is_some_and(|row| {
            row["step"].as_u64().is_some_and(|found| match found.cmp(&(step as u64)) {
                Ordering::Less => true,
                Ordering::Equal => counts(&row),
                Ordering::Greater => false,
            })
        })
    };
    let kept: String = earlier.lines().filter(is_earlier).map(|line| format!("{line}\n")).collect();
    folder::write_file(path, kept.as_bytes())?;
    OpenOptions::new().append(true).open(path).map_err(TrainError::write(path))
}

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
    /// Opens `path` to continue after `step` steps: lines of later steps, from before an interruption, are removed.
    ///
    /// * `known`: what was measured after this very step and counts; the rest is measured again.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn open(path: &Path, step: usize, known: Known) -> Result<Metrics, TrainError> {
        let file = reopen(path, step, &|row| {
            let is_of_step = row["loss"].is_number() || row["taken_back"].is_string();
            let is_known = [(HELD_OUT, known.loss), (SUCCESS, known.success), ("best", known.best)];
            is_of_step || is_known.iter().any(|(key, is_known)| *is_known && !row[*key].is_null())
        })?;
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

    /// Appends a step, with its loss of all and of each source.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn step(&mut self, report: &StepReport, sources: &[String]) -> Result<(), TrainError> {
        let mut row = json!({
            "step": report.step,
            "epoch": report.epoch,
            "loss": report.loss,
            "learning_rate": report.learning_rate,
            "gradient_norm": report.gradient_norm,
            "tokens": report.token_count,
            "supervised_tokens": report.target_count,
            "seconds": (report.seconds * 1e3).round() / 1e3,
            "memory_bytes": report.memory_bytes,
        });
        row["loss_by_source"] = by_name(&report.by_source, sources);
        for (key, value) in report.rewards.iter().flat_map(Rewards::named) {
            row[key] = json!(value);
        }
        self.append(&row)
    }

    /// Appends that a step was taken back.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn taken_back(&mut self, step: usize, why: &str) -> Result<(), TrainError> {
        self.append(&json!({"step": step, "taken_back": why}))
    }

    /// Appends the held-out loss after `step` steps, nats per token, of all and of each source.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn held_out(&mut self, step: usize, measured: &HeldOut, sources: &[String]) -> Result<(), TrainError> {
        let by_source = by_name(&measured.by_source, sources);
        self.append(&json!({"step": step, HELD_OUT: measured.loss, "held_out_by_source": by_source}))
    }

    /// Appends how many tasks the agent solved after `step` steps, all together and by family, and what it took.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn tried(&mut self, step: usize, tried: &Tried) -> Result<(), TrainError> {
        self.append(&json!({
            "step": step,
            SUCCESS: tried.solved as f64 / tried.tasks as f64,
            "solved": tried.solved,
            "tasks": tried.tasks,
            "executions": tried.executions,
            "completion_tokens": tried.completion_tokens,
            "solved_by_family": tried.by_family,
        }))
    }

    /// Appends that the checkpoint after `step` steps is the best so far.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn best(&mut self, step: usize) -> Result<(), TrainError> {
        self.append(&json!({"step": step, "checkpoint": folder::step_name(step), "best": true}))
    }

    /// Brings all rows to the disk.
    ///
    /// # Errors
    /// When the disk does not take them.
    pub fn sync(&self) -> Result<(), TrainError> {
        self.file.sync_data().map_err(TrainError::write(&self.path))
    }

    fn append(&mut self, row: &Value) -> Result<(), TrainError> {
        self.file.write_all(format!("{row}\n").as_bytes()).map_err(TrainError::write(&self.path))?;
        self.events.as_mut().map_or(Ok(()), |events| events.row(row))
    }
}

/// The losses of sources by their names.
fn by_name(by_source: &[(usize, f64)], sources: &[String]) -> Value {
    by_source.iter().map(|(source, loss)| (sources[*source].clone(), json!(loss))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_cannot_be_read_is_not_written_over() {
        let room = tempfile::tempdir().expect("a folder");
        let path = room.path().join("metrics.jsonl");
        std::fs::write(&path, b"{\"step\": 1}\n\xff\n").expect("a file");
        let error = Metrics::open(&path, 1, Known { loss: true, success: true, best: true }).expect_err("not UTF-8");
        assert!(error.to_string().contains("cannot read"), "{error}");
        assert_eq!(std::fs::read(&path).expect("still there"), b"{\"step\": 1}\n\xff\n");
    }

    #[test]
    fn going_on_keeps_what_the_checkpoint_knows_of() {
        let room = tempfile::tempdir().expect("a folder");
        let path = room.path().join("metrics.jsonl");
        let text = |rows: &[&str]| rows.iter().map(|row| format!("{row}\n")).collect::<String>();
        let rows = [
            r#"{"step":0,"held_out_loss":2.5}"#,
            r#"{"step":5,"held_out_loss":1.6}"#,
            r#"{"step":6,"loss":1.5}"#,
            r#"{"step":6,"held_out_loss":1.5}"#,
            r#"{"step":6,"success_rate":0.5}"#,
            r#"{"step":7,"taken_back":"a leap"}"#,
        ];
        for (step, loss, success, kept) in [
            (6, true, true, 5),
            (6, true, false, 4),
            (6, false, false, 3),
            (7, false, false, 6),
            (0, true, false, 1),
            (0, false, false, 0),
        ] {
            std::fs::write(&path, text(&rows) + "{\"step\":7,\"lo").expect("a file");
            drop(Metrics::open(&path, step, Known { loss, success, best: loss }).expect("the file"));
            assert_eq!(std::fs::read_to_string(&path).expect("the file"), text(&rows[..kept]), "{step} {loss}");
        }
    }
}
