//! `flywheel.json`: how far it is, and everything that was measured.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::figures::Figures;
use super::verdict::Verdict;
use crate::config::Config;
use crate::error::TrainError;
use crate::folder;

/// Name of the file.
pub const NAME: &str = "flywheel.json";

/// Changes with what stands in the file.
const VERSION: u32 = 2;

/// Name in an identity of the conversations that are learned.
pub const DATA: &str = "data contents";

/// Of those that are held out.
pub const HELD_OUT_DATA: &str = "held-out data contents";

/// Of the base model's files.
pub const BASE_MODEL: &str = "base model contents";

/// Of the adapter that the settings name.
pub const STARTING_ADAPTER: &str = "starting adapter contents";

/// Begins the name of a suite to practise on.
pub const PRACTICE: &str = "practice tasks of ";

/// Begins the name of a suite to measure with.
pub const MEASURED: &str = "held-out tasks of ";

/// Settings that change no number, and the places of what counts by its contents.
const FREE_KEYS: [&str; 10] = [
    "model.adapter",
    "evaluation.parallel",
    "flywheel.parallel",
    "train.recompute",
    "train.threads",
    "train.cache",
    "output.dir",
    "output.overwrite",
    "output.tensorboard",
    "flywheel.rounds",
];

/// Tables of what may change on the way: the ways out of a bad step and a full disk are settings of them.
const FREE_TABLES: [&str; 2] = ["guard.", "checkpoint."];

/// How far a flywheel is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    version: u32,
    /// Settings, and hashes of tasks, data and model, by name.
    pub identity: BTreeMap<String, String>,
    /// The base model.
    pub base: Option<Figures>,
    /// Seconds that training the first adapter took; none if it was there already.
    pub start_seconds: Option<f64>,
    /// sha256 of that adapter's settings and weights, by name of file.
    pub start_sha256: Option<BTreeMap<String, String>>,
    /// The adapter that the first round begins with.
    pub start: Option<Figures>,
    /// The rounds, as far as they are.
    pub rounds: Vec<Round>,
}

/// How far a round is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Round {
    /// Counted from 1.
    pub number: usize,
    /// What was collected.
    pub collected: Option<Collected>,
    /// What was trained; none where nothing was collected.
    pub trained: Option<Trained>,
    /// What it measures as.
    pub figures: Option<Figures>,
    /// What became of it. With that the round is over, but for its pairs.
    pub verdict: Option<Verdict>,
    /// What it does with the pairs that it collected, where it does. Left out of files where it does not, as before it could.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pairs: Option<Pairs>,
}

/// How far a round is with its pairs: a candidate beside the adapter that the round trained, which it begins as.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pairs {
    /// How many were collected; more than none.
    pub count: usize,
    /// The pairs.
    pub file: PathBuf,
    /// sha256 of that file.
    pub sha256: String,
    /// What was trained; none where no pair could be.
    pub trained: Option<Trained>,
    /// What it measures as.
    pub figures: Option<Figures>,
    /// What became of it. With that the round is over.
    pub verdict: Option<Verdict>,
}

impl Round {
    /// Whether everything of it is decided.
    pub fn is_over(&self) -> bool {
        self.verdict.is_some() && self.pairs.as_ref().is_none_or(|pairs| pairs.verdict.is_some())
    }

    /// The last of its adapters that was kept.
    fn kept(&self) -> Option<&Figures> {
        let is_kept = |verdict: &Option<Verdict>| verdict.as_ref().is_some_and(|verdict| verdict.is_kept);
        let pairs = self.pairs.as_ref().filter(|pairs| is_kept(&pairs.verdict));
        let own = self.figures.as_ref().filter(|_| is_kept(&self.verdict));
        pairs.and_then(|pairs| pairs.figures.as_ref()).or(own)
    }
}

/// What a round collected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Collected {
    /// Who was asked.
    pub teacher: String,
    /// The conversations.
    pub file: PathBuf,
    /// sha256 of that file.
    pub sha256: String,
    /// Tasks that were tried.
    pub tasks: usize,
    /// Tasks among them that were solved.
    pub solved: usize,
    /// Attempts.
    pub attempts: usize,
    /// Right ones.
    pub right: usize,
    /// Conversations that are kept.
    pub kept: usize,
    /// Why the others are not, in words.
    pub dropped: BTreeMap<String, usize>,
    /// Wall-clock time, of the last part where the round was interrupted.
    pub seconds: f64,
}

/// What a round trained.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trained {
    /// Folder of the adapter.
    pub adapter: PathBuf,
    /// sha256 of its settings and weights, by name of file.
    pub sha256: BTreeMap<String, String>,
    /// Optimizer steps.
    pub steps: usize,
    /// Conversations of an epoch.
    pub conversations: usize,
    /// Wall-clock time, of the last part where the round was interrupted.
    pub seconds: f64,
}

impl State {
    /// Of a flywheel that has done nothing.
    pub fn new(identity: BTreeMap<String, String>) -> State {
        let (base, start_seconds, start_sha256, start) = (None, None, None, None);
        State { version: VERSION, identity, base, start_seconds, start_sha256, start, rounds: Vec::new() }
    }

    /// What stands in the folder; none where there is nothing.
    ///
    /// # Errors
    /// When it cannot be read, or is of another version or other settings.
    pub fn load(dir: &Path, identity: &BTreeMap<String, String>) -> Result<Option<State>, TrainError> {
        let path = dir.join(NAME);
        let bytes = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(TrainError::read_back(&path))?,
        };
        let unreadable = |error: serde_json::Error| TrainError::ReadBack {
            path: path.clone(),
            source: std::io::Error::other(error),
        };
        let value: serde_json::Value = serde_json::from_slice(&bytes).map_err(&unreadable)?;
        // First of all: other versions have other fields.
        if value["version"] != VERSION {
            return Err(TrainError::Setting {
                key: "output.dir".to_owned(),
                what: format!("`{}` is of version {}, this is {VERSION}", path.display(), value["version"]),
                hint: "choose another folder",
            });
        }
        let state: State = serde_json::from_value(value).map_err(&unreadable)?;
        match differing(&state.identity, identity) {
            what if what.is_empty() => Ok(Some(state.with_paths(|path| dir.join(path)))),
            what => Err(TrainError::Setting {
                key: "output.dir".to_owned(),
                what: format!("`{}` is of another flywheel: {}", path.display(), what.join("; ")),
                hint: "use its settings to go on, or choose another folder",
            }),
        }
    }

    /// Writes it, whole or not at all. Paths in the folder are written from there, so that it can be moved.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn save(&self, dir: &Path) -> Result<(), TrainError> {
        let inner = |path: &Path| match path.strip_prefix(dir) {
            Ok(inner) => inner.to_owned(),
            // What the settings name, from wherever the command is started.
            Err(_) => std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
        };
        let stored = self.clone().with_paths(inner);
        let mut text = serde_json::to_string_pretty(&stored).expect("plain values are JSON");
        text.push('\n');
        folder::write_file(&dir.join(NAME), text.as_bytes())
    }

    /// All its paths, each changed.
    fn with_paths(mut self, change: impl Fn(&Path) -> PathBuf) -> State {
        let mut paths: Vec<&mut PathBuf> = Vec::new();
        let mut figures: Vec<&mut Figures> = self.base.iter_mut().chain(&mut self.start).collect();
        for round in &mut self.rounds {
            paths.extend(round.collected.as_mut().map(|collected| &mut collected.file));
            paths.extend(round.trained.as_mut().map(|trained| &mut trained.adapter));
            figures.extend(round.figures.as_mut());
            if let Some(pairs) = &mut round.pairs {
                paths.push(&mut pairs.file);
                paths.extend(pairs.trained.as_mut().map(|trained| &mut trained.adapter));
                figures.extend(pairs.figures.as_mut());
            }
        }
        for Figures { adapter, attempts, .. } in figures {
            paths.extend(adapter.as_mut());
            paths.push(attempts);
        }
        paths.into_iter().for_each(|path| *path = change(path));
        self
    }

    /// Takes the adapter at the start from where the settings name it now: the whole project may have been moved, and its
    /// contents are part of the identity.
    pub fn start_from(&mut self, adapter: &Path) {
        if let Some(start) = &mut self.start {
            start.adapter = Some(adapter.to_owned());
        }
    }

    /// The best adapter so far: the last one of the rounds that was kept, or the one at the start.
    pub fn best(&self) -> Option<&Figures> {
        self.rounds.iter().rev().find_map(Round::kept).or(self.start.as_ref())
    }

    /// The round that is not over, begun if there is none.
    pub fn open_round(&mut self) -> &mut Round {
        if self.rounds.last().is_none_or(Round::is_over) {
            self.rounds.push(Round { number: self.rounds.len() + 1, ..Round::default() });
        }
        self.rounds.last_mut().expect("there is one now")
    }

    /// Files of everything collected in this round and before, as far as something is in them.
    pub fn collected(&self) -> Vec<PathBuf> {
        let collected = self.rounds.iter().filter_map(|round| round.collected.as_ref());
        collected.filter(|collected| collected.kept > 0).map(|collected| collected.file.clone()).collect()
    }

    /// Rounds that are over.
    pub fn rounds_over(&self) -> usize {
        self.rounds.iter().filter(|round| round.is_over()).count()
    }
}

/// What numbers depend on: the settings, and what they name.
///
/// * `contents`: name and hash of tasks, data and models.
pub fn identity(config: &Config, contents: impl IntoIterator<Item = (String, String)>) -> BTreeMap<String, String> {
    let table = toml::Value::try_from(config).expect("tables of plain values are TOML");
    let mut identity: BTreeMap<String, String> = contents.into_iter().collect();
    for (name, value) in table.as_table().into_iter().flatten() {
        match value.as_table() {
            Some(entries) => {
                identity.extend(entries.iter().map(|(key, value)| (format!("{name}.{key}"), value.to_string())))
            }
            None => _ = identity.insert(name.clone(), value.to_string()),
        }
    }
    let is_free = |key: &str| FREE_KEYS.contains(&key) || FREE_TABLES.iter().any(|table| key.starts_with(table));
    identity.retain(|key, _| !is_free(key));
    identity
}

fn differing(was: &BTreeMap<String, String>, is: &BTreeMap<String, String>) -> Vec<String> {
    let keys: std::collections::BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    let shown = |all: &BTreeMap<String, String>, key: &String| all.get(key).map_or("unset", String::as_str).to_owned();
    let differing = keys.into_iter().filter(|key| was.get(*key) != is.get(*key));
    let sentence = |key: &String| match key.as_str() {
        DATA => "the conversations of its `[[data]]` were others (files, chat template or lengths)".to_owned(),
        HELD_OUT_DATA => "the held-out conversations of its `[[data]]` were others".to_owned(),
        BASE_MODEL => "its base model had other files".to_owned(),
        STARTING_ADAPTER => "the adapter of `model.adapter` had other weights, or only one of both has any".to_owned(),
        name => match [PRACTICE, MEASURED].iter().find_map(|role| Some((role, name.strip_prefix(role)?))) {
            Some((role, suite)) => format!("the {role}suite `{suite}` were others"),
            None => format!("`{name}` was {} there and is {} here", shown(was, key), shown(is, key)),
        },
    };
    differing.map(sentence).collect()
}

#[cfg(test)]
mod tests;
