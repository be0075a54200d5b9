//! What is kept of all attempts: filtered, without repeats, in order, and run again.

use std::collections::{BTreeMap, HashMap, HashSet};

use codeact_agent::ActionFormat;
use codeact_chat::Role;

use super::filter::{DropCounts, Dropped, Filter};
use super::row::{Provenance, Row};
use super::{Collection, pick, row};
use crate::measure::{Record, draw_seed};
use crate::verify::{Verdict, VerifyOptions, verify_conversation};
use crate::{EvalError, Suite, Task, in_order};

/// What is kept.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Which attempts are worth it.
    pub filter: Filter,
    /// Of one task at most.
    pub per_task_max: usize,
    /// How code is run again, and which verdicts are kept.
    pub verify: VerifyOptions,
    /// Under which terms, where the suite does not say.
    pub licence: String,
}

/// What is kept, and what became of the rest.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    pub kept: Vec<Row>,
    pub failures: Vec<Row>,
    /// Why attempts were dropped, by teacher.
    pub dropped: BTreeMap<String, DropCounts>,
}

/// A task and the attempts at it, from the first teacher's first to the last one's last.
struct Tried<'a> {
    suite: &'a Suite,
    task: &'a Task,
    attempts: Vec<&'a Record>,
    /// Of those that are worth keeping and are no repeats: index and key.
    worth: Vec<usize>,
}

/// Attempts that are kept of one task, and why others are not.
struct Of<'a> {
    kept: Vec<(&'a Record, Verdict)>,
    dropped: Vec<(&'a Record, Dropped)>,
}

pub(super) fn choose(of: &Collection<'_>, records: &[Record], teachers: &[String]) -> Result<Chosen, EvalError> {
    let mut chosen = Chosen::default();
    let mut tried = tried(of.suites, records, teachers);
    let mut seen = HashSet::new();
    for path in &of.files.known {
        seen.extend(row::keys(path)?);
    }
    let mut failed: HashMap<usize, Vec<&Record>> = HashMap::new();
    for (index, one) in tried.iter_mut().enumerate() {
        for (number, attempt) in one.attempts.iter().enumerate() {
            let verdict = of.rules.filter.judge(attempt);
            let verdict = verdict.or_else(|| {
                let is_new = seen.insert(pick::key(&attempt.transcript));
                (!is_new).then_some(Dropped::Duplicate)
            });
            match verdict {
                None => one.worth.push(number),
                Some(why) => {
                    if matches!(why, Dropped::Wrong | Dropped::NoSolution) {
                        failed.entry(index).or_default().push(attempt);
                    }
                    chosen.note(attempt, why);
                }
            }
        }
    }
    let rules = &of.rules;
    let kept = in_order(&tried, rules.verify.parallel, |_, one| Some(one.keep(rules)));
    for (index, (one, kept)) in tried.iter().zip(kept.into_iter().flatten()).enumerate() {
        let Of { kept, dropped } = kept?;
        dropped.into_iter().for_each(|(attempt, why)| chosen.note(attempt, why));
        if !kept.is_empty() {
            let failures = pairs(failed.remove(&index).unwrap_or_default(), of.rules.per_task_max);
            chosen.failures.extend(failures.into_iter().map(|attempt| one.row(of, attempt, None)));
        }
        chosen.kept.extend(kept.into_iter().map(|(attempt, verdict)| one.row(of, attempt, Some(verdict))));
    }
    Ok(chosen)
}

impl Chosen {
    fn note(&mut self, attempt: &Record, why: Dropped) {
        *self.dropped.entry(attempt.key.contestant.clone()).or_default().entry(why).or_default() += 1;
    }
}

/// The attempts by task, in the order of the suites. What others say of tasks that are not asked is left out.
fn tried<'a>(suites: &'a [Suite], records: &'a [Record], teachers: &[String]) -> Vec<Tried<'a>> {
    let mut by_task: HashMap<(&str, &str), Vec<&Record>> = HashMap::new();
    for record in records {
        by_task.entry((&record.key.suite, &record.key.task)).or_default().push(record);
    }
    let rung = |record: &Record| teachers.iter().position(|teacher| *teacher == record.key.contestant);
    let tasks = suites.iter().flat_map(|suite| suite.tasks.iter().map(move |task| (suite, task)));
    let tried = tasks.map(|(suite, task)| {
        let mut attempts = by_task.remove(&(suite.name.as_str(), task.id.as_str())).unwrap_or_default();
        attempts.sort_by_key(|record| (rung(record), record.key.sample));
        Tried { suite, task, attempts, worth: Vec::new() }
    });
    tried.filter(|tried| !tried.attempts.is_empty()).collect()
}

/// Failures worth pairing with what is kept: those that end with a reply, no two alike.
fn pairs(failed: Vec<&Record>, count_max: usize) -> Vec<&Record> {
    let mut seen = HashSet::new();
    let ends = |record: &&Record| record.transcript.last().is_some_and(|last| last.role == Role::Assistant);
    let mut found: Vec<&Record> = failed.into_iter().filter(ends).collect();
    found.retain(|record| seen.insert(pick::key(&record.transcript)));
    found.truncate(count_max);
    found
}

impl<'a> Tried<'a> {
    /// Takes attempts in their order, as long as there is room and they come out as they were.
    fn keep(&self, rules: &Rules) -> Result<Of<'a>, EvalError> {
        let worth: Vec<&Record> = self.worth.iter().map(|number| self.attempts[*number]).collect();
        let conversations: Vec<_> =
            worth.iter().map(|attempt| (attempt.transcript.as_slice(), attempt.actions.failed)).collect();
        let mut of = Of { kept: Vec::new(), dropped: Vec::new() };
        for index in pick::order(&conversations) {
            let attempt = worth[index];
            if of.kept.len() >= rules.per_task_max {
                of.dropped.push((attempt, Dropped::Enough));
                continue;
            }
            let format = ActionFormat::named(&attempt.key.format).unwrap_or_default();
            let verdict = verify_conversation(&rules.verify, self.task, format, &attempt.transcript)?;
            match rules.verify.keep.contains(&verdict) {
                true => of.kept.push((attempt, verdict)),
                false => of.dropped.push((attempt, Dropped::NotReproduced)),
            }
        }
        Ok(of)
    }

    fn row(&self, of: &Collection<'_>, attempt: &Record, verified: Option<Verdict>) -> Row {
        let contestant = &attempt.key.contestant;
        let teacher = of.teachers.iter().find(|teacher| teacher.name == *contestant);
        let sampling = &of.sampling;
        let licence = if self.suite.licence.is_empty() { &of.rules.licence } else { &self.suite.licence };
        let key = &attempt.key;
        let provenance = Provenance {
            suite: key.suite.clone(),
            task: key.task.clone(),
            family: attempt.family.clone(),
            teacher: teacher.map_or_else(|| contestant.clone(), |teacher| teacher.model.clone()),
            adapter: teacher.and_then(|teacher| teacher.adapter.clone()),
            sample: key.sample,
            seed: draw_seed(sampling.seed, &key.suite, &key.task, key.sample),
            temperature: sampling.temperature,
            action_format: key.format.clone(),
            replies: attempt.steps,
            actions: attempt.actions.clone(),
            verdict: if attempt.is_solved { "right" } else { "wrong" }.to_owned(),
            verified,
            program: format!("codeact-eval {}", env!("CARGO_PKG_VERSION")),
        };
        Row {
            id: row::id(&provenance, contestant),
            conversations: attempt.transcript.clone(),
            provenance,
            licence: licence.clone(),
        }
    }
}
