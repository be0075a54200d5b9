//! What came of all tasks: a table to read and a file to keep.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use codeact_agent::ActionFormat;
use serde::Serialize;

use crate::EvalError;
use crate::run::Outcome;

/// Counts over some tasks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// How many there are.
    pub tasks: usize,
    /// How many of them were solved.
    pub solved: usize,
    /// How many were solved in a turn that ran code.
    pub solved_by_code: usize,
}

impl Tally {
    fn add(&mut self, outcome: &Outcome) {
        self.tasks += 1;
        self.solved += usize::from(outcome.is_solved);
        self.solved_by_code += usize::from(outcome.is_solved && outcome.executions > 0);
    }

    fn percent(&self) -> f64 {
        100.0 * self.solved as f64 / self.tasks.max(1) as f64
    }
}

/// Everything that is written with `--out`.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The model folder.
    pub model: String,
    /// The adapter folder, if there was one.
    pub adapter: Option<String>,
    /// Precision of the weights.
    pub dtype: String,
    /// The wording that the model was given.
    pub profile: String,
    /// The form of its actions, which the caller sets.
    pub action_format: String,
    /// How many tasks there are.
    pub tasks: usize,
    /// How many were solved.
    pub solved: usize,
    /// How many were solved in a turn that ran code.
    pub solved_by_code: usize,
    /// Wall-clock time in seconds of all tasks together, several running at once.
    pub seconds: f64,
    /// By what stands before the `/` of the family.
    pub groups: BTreeMap<String, Tally>,
    /// By family.
    pub families: BTreeMap<String, Tally>,
    /// Every task with its conversation, in the order of the file.
    pub transcripts: Vec<Outcome>,
}

impl Report {
    /// Counts `outcomes`. The fields that name the model are given by the caller.
    pub fn new(
        model: String,
        adapter: Option<String>,
        dtype: String,
        profile: String,
        outcomes: Vec<Outcome>,
    ) -> Report {
        let mut total = Tally::default();
        let mut groups: BTreeMap<String, Tally> = BTreeMap::new();
        let mut families: BTreeMap<String, Tally> = BTreeMap::new();
        for outcome in &outcomes {
            total.add(outcome);
            families.entry(outcome.family.clone()).or_default().add(outcome);
            if let Some((group, _)) = outcome.family.split_once('/') {
                groups.entry(group.to_owned()).or_default().add(outcome);
            }
        }
        Report {
            model,
            adapter,
            dtype,
            profile,
            action_format: ActionFormat::Code.name().to_owned(),
            tasks: total.tasks,
            solved: total.solved,
            solved_by_code: total.solved_by_code,
            seconds: 0.0,
            groups,
            families,
            transcripts: outcomes,
        }
    }

    /// One line for each family, each group, and all.
    pub fn table(&self) -> String {
        let total = Tally { tasks: self.tasks, solved: self.solved, solved_by_code: self.solved_by_code };
        let names = self.families.keys().chain(self.groups.keys());
        let width = names.map(|name| name.len()).max().unwrap_or(0).max("family".len());
        let mut text = format!("{:<width$}  tasks  solved  percent  by code\n", "family");
        let line = |(name, tally): (&str, &Tally)| {
            let Tally { tasks, solved, solved_by_code } = tally;
            let percent = tally.percent();
            format!("{name:<width$}  {tasks:>5}  {solved:>6}  {percent:>6.1}%  {solved_by_code:>7}\n")
        };
        text.extend(self.families.iter().map(|(name, tally)| line((name, tally))));
        text.push_str(&format!("{}\n", "-".repeat(text.lines().next().map_or(0, str::len))));
        text.extend(self.groups.iter().map(|(name, tally)| line((name, tally))));
        text + &line(("all", &total))
    }

    /// Writes the report as JSON. The file appears whole or not at all.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub fn write(&self, path: &Path) -> Result<(), EvalError> {
        let mut json = serde_json::to_vec_pretty(self).expect("a report has only text keys and finite numbers");
        json.push(b'\n');
        write_atomically(path, &json)
    }
}

/// Writes `bytes` beside `path`, syncs them, and renames: the file appears whole or not at all.
///
/// # Errors
/// When the folder cannot be written to.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), EvalError> {
    let partial = partial_path(path);
    let written = std::fs::File::create(&partial).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&partial, path)
    });
    written.map_err(|source| {
        // The first error is the one to report.
        let _ = std::fs::remove_file(&partial);
        EvalError::Write { path: path.to_owned(), source }
    })
}

/// Whether `path` can be written later: what takes hours should not fail at its last step. Nothing is left behind.
///
/// # Errors
/// When it is a folder, or its folder is missing or cannot be written to.
pub fn check_writable(path: &Path) -> Result<(), EvalError> {
    let refuse = |reason| EvalError::Out { path: path.to_owned(), reason };
    if path.is_dir() {
        return Err(refuse(std::io::ErrorKind::IsADirectory.into()));
    }
    let partial = partial_path(path);
    let was_there = partial.exists();
    std::fs::File::options().create(true).append(true).open(&partial).map_err(refuse)?;
    if !was_there {
        std::fs::remove_file(&partial).map_err(refuse)?;
    }
    Ok(())
}

pub(crate) fn partial_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Verdict;

    fn outcome(family: &str, is_solved: bool, executions: usize) -> Outcome {
        Outcome {
            id: "t".into(),
            family: family.into(),
            answer: Some("1".into()),
            solution: None,
            is_solved,
            verdict: if is_solved { Verdict::right() } else { Verdict::wrong("it is not") },
            end: codeact_agent::TurnEnd::Solution,
            error: None,
            steps: 1,
            executions,
            completion_tokens: 1,
            seconds: 0.5,
            transcript: Vec::new(),
        }
    }

    fn report() -> Report {
        let outcomes = vec![
            outcome("seen/a", true, 1),
            outcome("seen/b", true, 0),
            outcome("new-family/c", false, 1),
            outcome("alone", true, 1),
        ];
        Report::new("m".into(), None, "f32".into(), "quickstart".into(), outcomes)
    }

    #[test]
    fn the_table_counts_families_groups_and_all() {
        let table = report().table();
        let cells = |name: &str| -> Vec<String> {
            let line = table.lines().find(|line| line.split_whitespace().next() == Some(name)).unwrap();
            line.split_whitespace().skip(1).map(str::to_owned).collect()
        };
        assert_eq!(cells("seen/b"), ["1", "1", "100.0%", "0"]);
        assert_eq!(cells("seen"), ["2", "2", "100.0%", "1"]);
        assert_eq!(cells("new-family"), ["1", "0", "0.0%", "0"]);
        assert_eq!(cells("all"), ["4", "3", "75.0%", "2"]);
    }

    #[test]
    fn the_file_appears_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        report().write(&path).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!((value["tasks"].as_u64(), value["solved"].as_u64()), (Some(4), Some(3)));
        assert_eq!(value["families"]["seen/a"]["solved_by_code"], 1);
        assert_eq!(value["transcripts"].as_array().unwrap().len(), 4);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        check_writable(&path).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let missing = folder.path().join("missing/report.json");
        for unwritable in [missing.as_path(), folder.path()] {
            assert!(check_writable(unwritable).unwrap_err().is_bad_input(), "{}", unwritable.display());
        }
        assert!(matches!(report().write(&missing), Err(EvalError::Write { .. })));
    }
}
