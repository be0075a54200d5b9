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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
mod tests {
    use super::*;
    use crate::flywheel::figures::figures;

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
        std::fs::write(room.path().join(NAME), "{\"version\": 1, \"of before\": []}").expect("a file");
        let error = State::load(room.path(), &identity).expect_err("an old one").to_string();
        assert!(error.contains("is of version 1, this is 2"), "{error}");
    }

    #[test]
    fn a_state_goes_with_its_folder() {
        let room = tempfile::tempdir().expect("a folder");
        let (here, there) = (room.path().join("here"), room.path().join("there"));
        let of = |dir: &Path, adapter: PathBuf| {
            let mut state = State::new(BTreeMap::new());
            state.base = Some(figures("base", (None, dir.join("base/measured")), None, &[], None));
            state.start = Some(figures("start", (Some(adapter), dir.join("start/measured")), None, &[], None));
            let round = state.open_round();
            let adapter = dir.join("round-1/train/adapter");
            let sha256 = BTreeMap::from([("adapter_config.json".to_owned(), "0".to_owned())]);
            round.trained = Some(Trained { adapter, sha256, steps: 1, conversations: 1, seconds: 0.5 });
            state.base.iter_mut().chain(&mut state.start).for_each(|figures| figures.chat_loss = 1.0);
            state
        };
        std::fs::create_dir(&here).expect("a folder");
        let elsewhere = room.path().join("elsewhere/adapter");
        of(&here, elsewhere.clone()).save(&here).expect("a file");
        std::fs::rename(&here, &there).expect("moved");
        assert_eq!(State::load(&there, &BTreeMap::new()).expect("the file"), Some(of(&there, elsewhere)));
        // As the settings name it, from the folder where the command was started.
        of(&there, PathBuf::from("runs/adapter")).save(&there).expect("a file");
        let absolute = std::path::absolute("runs/adapter").expect("a working folder");
        let mut state = State::load(&there, &BTreeMap::new()).expect("the file").expect("a state");
        assert_eq!(state, of(&there, absolute));
        // What the settings name is what lies there now, wherever that was.
        state.start_from(Path::new("runs/adapter"));
        assert_eq!(state, of(&there, PathBuf::from("runs/adapter")));
        let mut new = State::new(BTreeMap::new());
        new.start_from(Path::new("runs/adapter"));
        assert_eq!(new, State::new(BTreeMap::new()), "nothing was measured yet");
    }

    #[test]
    fn only_what_changes_no_number_or_is_a_way_out_may_change_on_the_way() {
        let text = "[model]\nname = \"m\"\n[lora]\nrank = 8\nalpha = 16\n[optimizer]\nlearning_rate = 1e-3\n\
                    [train]\npack_tokens = 64\n\
                    [output]\ndir = \"o\"\n[[data]]\npath = \"d\"\n[[data]]\npath = \"e\"\nheld_out = true\n\
                    [evaluation]\nevery = 5\ntasks = \"t\"\n[flywheel]\npractice = [\"p\"]\nheld_out = [\"h\"]\n";
        let with = |setting: &str| {
            let settings: Vec<String> = (!setting.is_empty()).then(|| setting.to_owned()).into_iter().collect();
            let config = Config::parse(text, Path::new("x.toml"), &settings);
            identity(&config.unwrap_or_else(|error| panic!("{setting}: {error}")), [])
        };
        let before = with("");
        let free = [
            "guard.spike=3",
            "guard.on_spike=rollback",
            "guard.on_not_finite=rollback",
            "checkpoint.every=7",
            "checkpoint.keep_last=2",
            "flywheel.parallel=2",
            "flywheel.rounds=9",
            "evaluation.parallel=2",
            "train.recompute=block",
            // Its contents count, wherever it lies.
            "model.adapter=elsewhere",
        ];
        for setting in free {
            assert_eq!(with(setting), before, "{setting}");
        }
        let counts = [
            "evaluation.metric=success",
            "evaluation.export=last",
            "evaluation.every=6",
            "flywheel.samples=3",
            "train.seed=2",
        ];
        for setting in counts {
            let key = setting.split_once('=').expect("a key and a value").0;
            let told = differing(&before, &with(setting)).join("; ");
            assert!(told.starts_with(&format!("`{key}` was ")) && !told.contains(';'), "{setting}: {told}");
        }
    }

    #[test]
    fn what_differs_is_told_in_words() {
        let identity = |practice: &str, held_out: &str| {
            let names = [format!("{PRACTICE}a"), format!("{MEASURED}a"), DATA.to_owned(), BASE_MODEL.to_owned()];
            BTreeMap::from(names.map(|name| {
                let hash = if name.starts_with(PRACTICE) { practice } else { held_out };
                (name, hash.to_owned())
            }))
        };
        let told = differing(&identity("1", "2"), &identity("3", "2"));
        assert_eq!(told, ["the practice tasks of suite `a` were others"]);
        let told = differing(&identity("1", "2"), &identity("1", "3")).join("; ");
        for part in ["the held-out tasks of suite `a` were others", "`[[data]]` were others", "its base model"] {
            assert!(told.contains(part), "{told}");
        }
    }
}
