//! Trajectories worth learning from: teachers try tasks, from the weakest to the strongest, and what is right, short of
//! tricks, not twice the same, and true when it is run again, is kept.
//!
//! Attempts are written down one by one as they end, in the same file as those of a measurement, so a collection that was
//! killed goes on. What is kept is decided after that, from the file alone: with other rules the same attempts give other
//! rows, and asked for is only what rules for single attempts then find missing.

mod teacher; // who is asked
mod attempts; // asking
mod ladder; // whom, and how often

mod filter; // worth keeping
mod pick; // of those, which
mod choose; // all of it, with running again
mod row; // what is written
mod pairs; // what is written of successes and failures together
mod summary; // what came of all

pub mod plans; // scripted plans instead of a model

pub use attempts::{Asking, Job};
pub use choose::Rules;
pub use filter::{DropCounts, Dropped, Filter};
pub use row::{Provenance, Row};
pub use summary::{CollectSummary, FamilyTally, TeacherTally};
pub use teacher::Teacher;

use std::path::PathBuf;
use std::time::Instant;

use crate::measure::{Identity, Record, Results, Unanswered, read_results, seeded, surroundings};
use crate::{EvalError, Suite};
use ladder::Ladder;

/// How teachers are asked.
#[derive(Debug, Clone)]
pub struct Sampling {
    /// Attempts at a task by one teacher at most.
    pub samples: u32,
    /// Those that pass the filter, after which a task gets no more.
    pub enough: usize,
    /// Sampling temperature; 0 is greedy.
    pub temperature: f64,
    /// Decides what is drawn.
    pub seed: u64,
    /// Attempts that run at once.
    pub parallel: usize,
    /// Tokens of one reply at most.
    pub reply_tokens_max: usize,
}

/// The files of a collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectFiles {
    /// Folder of the attempts.
    pub attempts: PathBuf,
    /// What is kept.
    pub out: PathBuf,
    /// Attempts that failed at tasks of which something is kept, for preference pairs.
    pub failures: Option<PathBuf>,
    /// The pairs themselves: what is kept, each beside each of these failures of its task.
    pub pairs: Option<PathBuf>,
    /// What became of all, as JSON.
    pub report: PathBuf,
    /// Rows of earlier collections: what is the same is not kept again.
    pub known: Vec<PathBuf>,
}

/// A collection.
pub struct Collection<'a> {
    /// What is to be solved.
    pub suites: &'a [Suite],
    /// Who is asked, from the weakest to the strongest.
    pub teachers: &'a [Teacher<'a>],
    /// How they are asked.
    pub sampling: Sampling,
    /// What is kept.
    pub rules: Rules,
    /// Where everything is written.
    pub files: CollectFiles,
}

/// What a collection looks at and tells while it goes on.
pub struct Watch<'a> {
    /// Whether to stop, with what is done written down.
    pub is_stopped: &'a (dyn Fn() -> bool + Sync),
    /// Whether to ask no more, and go on with what there is.
    pub is_over: &'a (dyn Fn() -> bool + Sync),
    /// Called before each teacher's attempts of one number, with how many there are.
    pub on_wave: &'a (dyn Fn(&str, u32, usize) + Sync),
    /// Called after each attempt, from any thread.
    pub on_attempt: &'a (dyn Fn(&Record) + Sync),
}

impl Collection<'_> {
    /// Asks, or goes on asking, and writes what is kept.
    ///
    /// # Errors
    /// When a file cannot be used, the attempts that are there are of another collection, a teacher or Python fails, or
    /// somebody stopped it: then what is done is kept for the next time.
    pub fn run(&self, watch: &Watch<'_>) -> Result<CollectSummary, EvalError> {
        let started = Instant::now();
        let CollectFiles { out, report, failures, pairs, .. } = &self.files;
        for path in [Some(out), Some(report), failures.as_ref(), pairs.as_ref()].into_iter().flatten() {
            crate::check_writable(path)?;
        }
        let names: Vec<String> = self.teachers.iter().map(|teacher| teacher.name.clone()).collect();
        if let Some(index) = (1..names.len()).find(|&index| names[..index].contains(&names[index])) {
            let twice = &names[index];
            return Err(EvalError::Options(format!(
                "teacher `{twice}` is named twice\nhint: `--samples` asks it more often"
            )));
        }
        let (results, done) = Results::open(&self.files.attempts, &self.identity(&names))?;
        let mut ladder = Ladder::new(self.rules.filter);
        done.iter().for_each(|attempt| ladder.note(attempt));
        let mut count = done.len();
        for rung in 0..self.teachers.len() {
            count += self.ask(rung, &names, &results, &mut ladder, watch)?;
            if (watch.is_stopped)() {
                return Err(EvalError::Paused { done: count, path: self.files.attempts.clone() });
            }
        }
        drop(results);
        let records = read_results(&self.files.attempts, usize::MAX)?.records;
        let chosen = choose::choose(self, &records, &names)?;
        if (watch.is_stopped)() {
            return Err(EvalError::Paused { done: count, path: self.files.attempts.clone() });
        }
        row::write(out, &chosen.kept)?;
        if let Some(failures) = failures {
            row::write(failures, &chosen.failures)?;
        }
        let pairs = pairs.as_ref().map(|path| pairs::write(path, &chosen.kept, &chosen.failures)).transpose()?;
        let summary = summary::summary(self, &records, &chosen, started.elapsed().as_secs_f64());
        let summary = CollectSummary { pairs, ..summary };
        let json = serde_json::to_vec_pretty(&summary).expect("a summary has only text keys and finite numbers");
        crate::write_atomically(report, &json)?;
        Ok(summary)
    }

    /// All that a teacher has left to do. Returns how much that was.
    fn ask(
        &self,
        rung: usize,
        names: &[String],
        results: &Results,
        ladder: &mut Ladder,
        watch: &Watch<'_>,
    ) -> Result<usize, EvalError> {
        let Sampling { samples, enough, .. } = self.sampling;
        let (mut solver, mut count, unanswered) = (None, 0, Unanswered::default());
        let policy = seeded(&self.rules.verify.policy, self.sampling.seed);
        let is_over = || (watch.is_stopped)() || (watch.is_over)();
        for sample in 0..samples {
            let jobs = ladder.left(self.suites, names, rung, sample, enough);
            if jobs.is_empty() || is_over() {
                continue;
            }
            (watch.on_wave)(&names[rung], sample, jobs.len());
            // Nobody loads a model that has nothing to do.
            let solver = match &solver {
                Some(solver) => solver,
                None => solver.insert((self.teachers[rung].open)()?),
            };
            let asking = Asking {
                solver,
                contestant: &names[rung],
                sampling: &self.sampling,
                policy: &policy,
                results,
                unanswered: &unanswered,
                is_over: &is_over,
                on_attempt: watch.on_attempt,
            };
            let attempts = asking.ask(&jobs)?;
            count += attempts.len();
            attempts.iter().for_each(|attempt| ladder.note(attempt));
        }
        Ok(count)
    }

    /// What attempts depend on. What is kept of them does not count: it decides only how many there are.
    fn identity(&self, names: &[String]) -> Identity {
        let Sampling { samples: _, enough, temperature, seed, parallel: _, reply_tokens_max } = self.sampling;
        let mut identity = surroundings(&self.rules.verify.policy, self.suites);
        identity.extend([
            ("teachers".to_owned(), names.join(", ")),
            ("reply tokens".to_owned(), reply_tokens_max.to_string()),
            ("enough".to_owned(), enough.to_string()),
            ("temperature".to_owned(), temperature.to_string()),
            ("seed".to_owned(), seed.to_string()),
        ]);
        for teacher in self.teachers {
            identity.insert(format!("teacher {}", teacher.name), teacher.fingerprint.clone());
        }
        identity
    }
}

#[cfg(test)]
pub(crate) mod tests;
