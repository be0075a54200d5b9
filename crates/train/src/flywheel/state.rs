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
const VERSION: u32 = 1;

/// Settings that change no number, and the place of the folder.
const FREE_KEYS: [&str; 7] = [
    "train.recompute",
    "train.threads",
    "train.cache",
    "output.dir",
    "output.overwrite",
    "output.tensorboard",
    "flywheel.rounds",
];

/// How far a flywheel is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    version: u32,
    /// Settings and tasks, by name.
    pub identity: BTreeMap<String, String>,
    /// The base model.
    pub base: Option<Figures>,
    /// Seconds that training the first adapter took; none if it was there already.
    pub start_seconds: Option<f64>,
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
    /// What became of it. With that the round is over.
    pub verdict: Option<Verdict>,
}

/// What a round collected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Collected {
    /// Who was asked.
    pub teacher: String,
    /// The conversations.
    pub file: PathBuf,
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trained {
    /// Folder of the adapter.
    pub adapter: PathBuf,
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
        State { version: VERSION, identity, base: None, start_seconds: None, start: None, rounds: Vec::new() }
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
        let state: State = serde_json::from_slice(&bytes)
            .map_err(|error| TrainError::ReadBack { path: path.clone(), source: std::io::Error::other(error) })?;
        if state.version != VERSION {
            return Err(TrainError::Setting {
                key: "output.dir".to_owned(),
                what: format!("`{}` is of version {}, this is {VERSION}", path.display(), state.version),
                hint: "choose another folder",
            });
        }
        match differing(&state.identity, identity) {
            what if what.is_empty() => Ok(Some(state)),
            what => Err(TrainError::Setting {
                key: "output.dir".to_owned(),
                what: format!("`{}` is of another flywheel: {}", path.display(), what.join("; ")),
                hint: "use its settings to go on, or choose another folder",
            }),
        }
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn save(&self, dir: &Path) -> Result<(), TrainError> {
        let mut text = serde_json::to_string_pretty(self).expect("plain values are JSON");
        text.push('\n');
        folder::write_file(&dir.join(NAME), text.as_bytes())
    }

    /// The best adapter so far: that of the last round that was kept, or the one at the start.
    pub fn best(&self) -> Option<&Figures> {
        let is_kept = |round: &&Round| round.verdict.as_ref().is_some_and(|verdict| verdict.is_kept);
        self.rounds.iter().rev().find(is_kept).and_then(|round| round.figures.as_ref()).or(self.start.as_ref())
    }

    /// The round that is not over, begun if there is none.
    pub fn open_round(&mut self) -> &mut Round {
        if self.rounds.last().is_none_or(|round| round.verdict.is_some()) {
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
        self.rounds.iter().filter(|round| round.verdict.is_some()).count()
    }
}

/// What numbers depend on: the settings, and the tasks.
///
/// * `tasks`: name and hash of each suite.
pub fn identity(config: &Config, tasks: impl IntoIterator<Item = (String, String)>) -> BTreeMap<String, String> {
    let table = toml::Value::try_from(config).expect("tables of plain values are TOML");
    let mut identity: BTreeMap<String, String> = tasks.into_iter().collect();
    for (name, value) in table.as_table().into_iter().flatten() {
        match value.as_table() {
            Some(entries) => {
                identity.extend(entries.iter().map(|(key, value)| (format!("{name}.{key}"), value.to_string())))
            }
            None => _ = identity.insert(name.clone(), value.to_string()),
        }
    }
    identity.retain(|key, _| !FREE_KEYS.contains(&key.as_str()));
    identity
}

fn differing(was: &BTreeMap<String, String>, is: &BTreeMap<String, String>) -> Vec<String> {
    let keys: std::collections::BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    let shown = |all: &BTreeMap<String, String>, key: &String| all.get(key).map_or("unset", String::as_str).to_owned();
    let differing = keys.into_iter().filter(|key| was.get(*key) != is.get(*key));
    differing.map(|key| format!("`{key}` was {} there and is {} here", shown(was, key), shown(is, key))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_comes_back_and_that_of_other_settings_does_not() {
        let room = tempfile::tempdir().expect("a folder");
        let identity = BTreeMap::from([("train.seed".to_owned(), "1".to_owned())]);
        assert_eq!(State::load(room.path(), &identity).expect("nothing is no fault"), None);
        let mut state = State::new(identity.clone());
        assert_eq!(state.open_round().number, 1);
        state.open_round().verdict = Some(Verdict { is_kept: false, why: "w".to_owned() });
        assert_eq!((state.open_round().number, state.rounds_over()), (2, 1));
        state.save(room.path()).expect("a file");
        assert_eq!(State::load(room.path(), &identity).expect("the file"), Some(state));
        let other = BTreeMap::from([("train.seed".to_owned(), "2".to_owned())]);
        let error = State::load(room.path(), &other).expect_err("another one").to_string();
        assert!(error.contains("`train.seed` was 1 there and is 2 here"), "{error}");
        std::fs::write(room.path().join(NAME), "{").expect("a file");
        assert!(State::load(room.path(), &identity).is_err());
    }
}
