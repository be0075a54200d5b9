//! Everything there is of a run, out of its folder.

use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value};

use super::history::{History, SOURCES_MAX};
use super::lines::{self, objects};
use super::samples::{Sample, Samples};
use crate::error::TrainError;
use crate::folder::{RESULTS, checkpoints};

/// What a page shows of the settings at most.
const SETTINGS_BYTES_MAX: u64 = 256 << 10;

/// A run as its folder tells it.
#[derive(Debug, Default)]
pub struct Run {
    /// Name of the folder.
    pub name: String,
    /// Path of the folder, as given.
    pub path: String,
    /// What was measured.
    pub history: History,
    /// The first line of `plan.jsonl`; empty without one.
    pub plan: Map<String, Value>,
    /// `config.toml` as it stands there.
    pub settings_text: Option<String>,
    /// The same as a table; empty where it is none.
    pub settings: toml::Table,
    /// What the model wrote on the way.
    pub samples: Vec<Sample>,
    /// Whether there are results.
    pub is_finished: bool,
    /// Checkpoints that are there, by step.
    pub checkpoints: Vec<u64>,
    /// What could not be read.
    pub notes: Vec<String>,
}

impl Run {
    /// Reads a folder.
    ///
    /// # Errors
    /// When it holds nothing of a run, or one of its files cannot be read.
    pub fn load(folder: &Path) -> Result<Run, TrainError> {
        let files = ["metrics.jsonl", "plan.jsonl", "config.toml", "samples.jsonl"].map(|name| folder.join(name));
        if !files.iter().any(|path| path.exists()) {
            return Err(TrainError::NoRun { dir: folder.to_owned() });
        }
        let [metrics, plan, settings, samples] = &files;
        let name = folder.canonicalize().ok().and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
        let path = folder.display().to_string();
        let mut run = Run { name: name.unwrap_or_else(|| path.clone()), path, ..Run::default() };
        let unread = objects(metrics, |row| {
            run.history.add(&row);
            true
        })?;
        run.notes.extend(unread.note("metrics.jsonl"));
        let unread = objects(plan, |head| {
            run.plan = head;
            false
        })?;
        run.notes.extend(unread.note("plan.jsonl"));
        let mut kept = Samples::default();
        let unread = objects(samples, |row| {
            kept.add(&row);
            true
        })?;
        run.notes.extend(unread.note("samples.jsonl"));
        run.notes.extend(kept.note());
        run.samples = kept.into_kept();
        run.read_settings(settings)?;
        if run.history.by_source.is_cut || run.history.held_out_by_source.is_cut {
            run.notes.push(format!("metrics.jsonl: of the sources the first {SOURCES_MAX} are shown"));
        }
        run.is_finished = RESULTS.iter().any(|name| folder.join(name).is_dir());
        run.checkpoints = checkpoints(folder).into_iter().map(|(step, _)| step as u64).collect();
        Ok(run)
    }

    fn read_settings(&mut self, path: &Path) -> Result<(), TrainError> {
        let file = match lines::regular(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            file => file.map_err(TrainError::read_back(path))?,
        };
        let mut bytes = Vec::new();
        file.take(SETTINGS_BYTES_MAX).read_to_end(&mut bytes).map_err(TrainError::read_back(path))?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        match text.parse() {
            Ok(settings) => self.settings = settings,
            Err(_) => self.notes.push("config.toml: not TOML, shown as it stands there".to_owned()),
        }
        self.settings_text = Some(text);
        Ok(())
    }

    /// A setting, for example `lora` `rank`, as it is written.
    pub fn setting(&self, table: &str, key: &str) -> Option<String> {
        let value = self.settings.get(table)?.get(key)?;
        Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    }

    /// A whole number of the plan.
    pub fn planned(&self, key: &str) -> Option<u64> {
        self.plan.get(key)?.as_u64()
    }

    /// How far it is, in words.
    pub fn state(&self) -> String {
        let (taken, planned) = (self.history.step_count(), self.planned("steps"));
        match (self.is_finished, planned) {
            (true, _) => "finished".to_owned(),
            (false, Some(planned)) if taken >= planned && planned > 0 => "all steps taken, no results yet".to_owned(),
            (false, Some(planned)) => format!("step {taken} of {planned}: going on, or stopped"),
            (false, None) => format!("step {taken}: going on, or stopped"),
        }
    }
}
