//! What came of a collection.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use super::Collection;
use super::choose::Chosen;
use super::filter::{DropCounts, Dropped};
use super::row::{self, Row};
use crate::measure::Record;

/// What one teacher did.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct TeacherTally {
    /// What it is called.
    pub teacher: String,
    /// Tasks it tried.
    pub tasks: usize,
    /// Tasks that it solved at least once.
    pub solved: usize,
    /// Attempts.
    pub attempts: usize,
    /// Attempts that were right.
    pub right: usize,
    /// Conversations that are kept.
    pub kept: usize,
    /// Why the others are not.
    pub dropped: DropCounts,
    /// Tokens it wrote; 0 where nobody counts.
    pub completion_tokens: usize,
}

/// What came of one family of tasks.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct FamilyTally {
    /// Tasks that were tried.
    pub tasks: usize,
    /// Tasks that somebody solved.
    pub solved: usize,
    /// Conversations that are kept.
    pub kept: usize,
}

/// What came of all.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CollectSummary {
    /// Tasks in the suites.
    pub tasks: usize,
    /// Tasks that were tried.
    pub tried: usize,
    /// Tasks that somebody solved.
    pub solved: usize,
    /// Attempts.
    pub attempts: usize,
    /// Attempts that were right.
    pub right: usize,
    /// Conversations that are kept.
    pub kept: usize,
    /// Tasks of which something is kept.
    pub tasks_kept: usize,
    /// Failed attempts that were written down for pairs.
    pub failures: usize,
    /// Pairs that were written; none where nobody asked for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pairs: Option<usize>,
    /// By teacher, from the first to the last.
    pub teachers: Vec<TeacherTally>,
    /// By family.
    pub families: BTreeMap<String, FamilyTally>,
    /// Wall-clock time of this part of the run.
    pub seconds: f64,
}

pub(super) fn summary(of: &Collection<'_>, records: &[Record], chosen: &Chosen, seconds: f64) -> CollectSummary {
    let teachers = of.teachers.iter().map(|teacher| {
        let name = teacher.name.clone();
        let own: Vec<&Record> = records.iter().filter(|record| record.key.contestant == name).collect();
        let is_kept = |row: &&Row| row.id == row::id(&row.provenance, &name);
        TeacherTally {
            tasks: tasks(own.iter().copied()),
            solved: tasks(own.iter().copied().filter(|record| record.is_solved)),
            attempts: own.len(),
            right: own.iter().filter(|record| record.is_solved).count(),
            kept: chosen.kept.iter().filter(is_kept).count(),
            dropped: chosen.dropped.get(&name).cloned().unwrap_or_default(),
            completion_tokens: own.iter().map(|record| record.completion_tokens).sum(),
            teacher: name,
        }
    });
    let teachers: Vec<TeacherTally> = teachers.collect();
    let mut families: BTreeMap<String, FamilyTally> = BTreeMap::new();
    for family in records.iter().map(|record| &record.family) {
        if families.contains_key(family) {
            continue;
        }
        let own = || records.iter().filter(|record| record.family == *family);
        let tally = FamilyTally {
            tasks: tasks(own()),
            solved: tasks(own().filter(|record| record.is_solved)),
            kept: chosen.kept.iter().filter(|row| row.provenance.family == *family).count(),
        };
        families.insert(family.clone(), tally);
    }
    let mut with: Vec<(&str, &str)> =
        chosen.kept.iter().map(|row| (row.provenance.suite.as_str(), row.provenance.task.as_str())).collect();
    with.sort_unstable();
    with.dedup();
    CollectSummary {
        tasks: of.suites.iter().map(|suite| suite.tasks.len()).sum(),
        tried: tasks(records.iter()),
        solved: tasks(records.iter().filter(|record| record.is_solved)),
        attempts: records.len(),
        right: records.iter().filter(|record| record.is_solved).count(),
        kept: chosen.kept.len(),
        tasks_kept: with.len(),
        failures: chosen.failures.len(),
        pairs: None,
        teachers,
        families,
        seconds,
    }
}

/// Different tasks among records.
fn tasks<'a>(records: impl Iterator<Item = &'a Record>) -> usize {
    let mut found: Vec<(&str, &str)> =
        records.map(|record| (record.key.suite.as_str(), record.key.task.as_str())).collect();
    found.sort_unstable();
    found.dedup();
    found.len()
}

impl CollectSummary {
    /// For people: each teacher with what it did, and why attempts were dropped.
    pub fn table(&self) -> String {
        let mut text = String::new();
        for tally in &self.teachers {
            let TeacherTally { teacher, tasks, solved, attempts, right, kept, dropped, completion_tokens } = tally;
            let _ = writeln!(
                text,
                "{teacher}\n  {tasks} tasks tried, {solved} solved; {attempts} attempts, {right} right; \
                 {completion_tokens} tokens"
            );
            let _ = writeln!(text, "  {kept:>6}  kept");
            for why in Dropped::ALL {
                if let Some(count) = dropped.get(&why) {
                    let _ = writeln!(text, "  {count:>6}  {}", why.words());
                }
            }
        }
        let _ = writeln!(
            text,
            "{} of {} tasks solved; {} conversations of {} tasks kept",
            self.solved, self.tasks, self.kept, self.tasks_kept
        );
        let _ = match self.pairs {
            None => Ok(()),
            Some(0) => writeln!(
                text,
                "no pairs: no task has both a success that is kept and a failure beside it\n\
                 hint: raise `--samples` or `--enough`"
            ),
            Some(count) => writeln!(text, "{count} pairs of a success and a failure"),
        };
        text
    }
}
