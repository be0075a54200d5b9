//! What was measured of an adapter: tasks solved, with intervals, against the one before, and the chat loss.

use std::collections::BTreeMap;
use std::path::PathBuf;

use codeact_eval::measure::{Record, bootstrap, mcnemar, wilson};
use serde::{Deserialize, Serialize};

/// A success rate of held-out tasks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Tasks that were solved.
    pub solved: usize,
    /// Tasks.
    pub tasks: usize,
    /// Wilson's interval of the rate, 95 %.
    pub low: f64,
    /// Its other end.
    pub high: f64,
}

impl Rate {
    fn of<'a>(records: impl Iterator<Item = &'a Record>) -> Rate {
        let (solved, tasks) =
            records.fold((0, 0), |(solved, tasks), record| (solved + usize::from(record.is_solved), tasks + 1));
        let (low, high) = wilson(solved as f64, tasks);
        Rate { solved, tasks, low, high }
    }

    /// Part that was solved; 0 of no tasks.
    pub fn rate(&self) -> f64 {
        self.solved as f64 / self.tasks.max(1) as f64
    }
}

/// Two adapters on the same tasks, those that decide.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Versus {
    /// What it is compared with.
    pub before: String,
    /// Tasks that only the one before solved.
    pub lost: usize,
    /// Tasks that only this one solved.
    pub won: usize,
    /// Two-sided p-value of McNemar's exact test.
    pub p: f64,
    /// Difference of the rates, by which this one is better.
    pub difference: f64,
    /// Bootstrap interval of the difference over tasks, 95 %.
    pub low: f64,
    /// Its other end.
    pub high: f64,
}

/// What was measured of an adapter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figures {
    /// `base`, `start`, `round 1`, or `pairs 1` for what that learned from pairs.
    pub name: String,
    /// The adapter's folder; none for the base model.
    pub adapter: Option<PathBuf>,
    /// Folder of the attempts.
    pub attempts: PathBuf,
    /// Of the tasks that decide.
    pub metric: Rate,
    /// By what stands before the `/` of a family.
    pub groups: BTreeMap<String, Rate>,
    /// Held-out loss of the chat, nats per token.
    pub chat_loss: f64,
    /// Against the best one before it.
    pub versus: Option<Versus>,
    /// Wall-clock time of measuring.
    pub seconds: f64,
}

/// The figures of `records`, all of one adapter.
///
/// * `metric`: name or beginning of the families that decide; all where it is none.
/// * `before`: the one that it is compared with, and its records.
pub fn figures(
    name: &str,
    (adapter, attempts): (Option<PathBuf>, PathBuf),
    metric: Option<&str>,
    records: &[Record],
    before: Option<(&str, &[Record])>,
) -> Figures {
    let mut groups: BTreeMap<String, Vec<&Record>> = BTreeMap::new();
    for record in records {
        groups.entry(record.group().unwrap_or(&record.family).to_owned()).or_default().push(record);
    }
    let decides = |record: &&Record| is_of(metric, &record.family);
    Figures {
        name: name.to_owned(),
        adapter,
        attempts,
        metric: Rate::of(records.iter().filter(decides)),
        groups: groups.into_iter().map(|(name, records)| (name, Rate::of(records.into_iter()))).collect(),
        chat_loss: f64::NAN,
        versus: before.map(|(before, earlier)| versus(before, earlier, records, metric)),
        seconds: 0.0,
    }
}

/// Whether a family has this name, or begins with it and `/`.
pub fn is_of(metric: Option<&str>, family: &str) -> bool {
    metric.is_none_or(|metric| family.strip_prefix(metric).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

fn versus(before: &str, earlier: &[Record], records: &[Record], metric: Option<&str>) -> Versus {
    let earlier: BTreeMap<(&str, &str), bool> = earlier
        .iter()
        .map(|record| ((record.key.suite.as_str(), record.key.task.as_str()), record.is_solved))
        .collect();
    let decides = records.iter().filter(|record| is_of(metric, &record.family));
    let pairs: Vec<(bool, bool)> = decides
        .filter_map(|record| {
            let was = earlier.get(&(record.key.suite.as_str(), record.key.task.as_str()))?;
            Some((*was, record.is_solved))
        })
        .collect();
    let count = |was: bool, is: bool| pairs.iter().filter(|pair| **pair == (was, is)).count();
    let (lost, won) = (count(true, false), count(false, true));
    let differences: Vec<f64> =
        pairs.iter().map(|(was, is)| f64::from(u8::from(*is)) - f64::from(u8::from(*was))).collect();
    let (low, high) = bootstrap(&differences);
    let difference = (won as f64 - lost as f64) / pairs.len().max(1) as f64;
    Versus { before: before.to_owned(), lost, won, p: mcnemar(lost, won), difference, low, high }
}

#[cfg(test)]
mod tests {
    use codeact_eval::measure::{Key, Record};
    use serde_json::json;

    use super::*;

    fn record(family: &str, task: &str, is_solved: bool) -> Record {
        let row = json!({
            "contestant": "m", "format": "code", "suite": "s", "task": task, "sample": 0, "family": family,
            "is_solved": is_solved, "solution": null, "reason": null, "end": "solution", "failure": null, "steps": 2,
            "actions": {"tried": 1, "invalid": 0, "failed": 0, "last_failure": null},
            "prompt_tokens": 1, "completion_tokens": 1, "seconds": 0.1, "transcript": [],
        });
        let record: Record = serde_json::from_value(row).expect("a record");
        assert_eq!(record.key, Key { suite: "s".into(), task: task.into(), ..record.key.clone() });
        record
    }

    #[test]
    fn rates_are_counted_by_group_and_compared_task_by_task() {
        let before = [record("new/a", "1", true), record("new/a", "2", false), record("new/b", "3", false)];
        let after = [
            record("new/a", "1", false),
            record("new/a", "2", true),
            record("new/b", "3", true),
            record("old/c", "4", true),
        ];
        let paths = (None, PathBuf::from("x"));
        let figures = figures("round 1", paths, Some("new"), &after, Some(("start", &before)));
        assert_eq!((figures.metric.solved, figures.metric.tasks), (2, 3));
        assert_eq!(figures.groups.keys().collect::<Vec<_>>(), ["new", "old"]);
        assert!(figures.metric.low < 2.0 / 3.0 && figures.metric.high > 2.0 / 3.0);
        let versus = figures.versus.expect("it was compared");
        assert_eq!((versus.lost, versus.won, versus.p), (1, 2, 1.0));
        assert!((versus.difference - 1.0 / 3.0).abs() < 1e-12 && versus.low < versus.difference);
    }

    #[test]
    fn a_metric_is_a_group_or_a_family_and_no_part_of_a_word() {
        assert!(is_of(None, "x/y") && is_of(Some("x"), "x/y") && is_of(Some("x/y"), "x/y") && is_of(Some("x"), "x"));
        assert!(!is_of(Some("x"), "xx/y") && !is_of(Some("x/y"), "x"));
    }
}
