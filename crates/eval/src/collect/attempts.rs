//! Attempts at tasks, several at once, each written down as it ends.

use std::sync::Mutex;

use codeact_sandbox::Policy;

use super::Sampling;
use crate::help::Help;
use crate::measure::{Key, Record, Results, Unanswered, draw_seed, try_task};
use crate::{Draw, EvalError, Solver, Suite, Task, in_order};

/// Something to be tried once.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    /// The suite of the task.
    pub suite: &'a Suite,
    /// What is to be solved.
    pub task: &'a Task,
    /// Which attempt at it, from 0.
    pub sample: u32,
}

/// How attempts are made.
pub struct Asking<'a> {
    /// Who makes them.
    pub solver: &'a Solver,
    /// What it is called in the records.
    pub contestant: &'a str,
    /// How tokens are drawn, and how many attempts run at once.
    pub sampling: &'a Sampling,
    /// What sessions run under.
    pub policy: &'a Policy,
    /// Where they are written down.
    pub results: &'a Results,
    /// How many in a row had no answer.
    pub(super) unanswered: &'a Unanswered,
    /// Whether no more shall be begun.
    pub is_over: &'a (dyn Fn() -> bool + Sync),
    /// Called after each, from any thread.
    pub on_attempt: &'a (dyn Fn(&Record) + Sync),
}

impl Asking<'_> {
    /// Makes the attempts, in any order. Fewer than asked for where it was over before.
    ///
    /// # Errors
    /// When Python or the model fails, or a record cannot be written. What is done is written down.
    pub fn ask(&self, jobs: &[Job<'_>]) -> Result<Vec<Record>, EvalError> {
        let failure = Mutex::new(None);
        let done = in_order(jobs, self.sampling.parallel, |_, job| {
            if (self.is_over)() {
                return None;
            }
            let record = self.one(job).and_then(|record| self.unanswered.count(record));
            match record.and_then(|record| self.results.add(&record).map(|()| record)) {
                Ok(record) => {
                    (self.on_attempt)(&record);
                    Some(record)
                }
                Err(error) => {
                    failure.lock().expect("nothing panics while it holds this lock").get_or_insert(error);
                    None
                }
            }
        });
        match failure.into_inner().expect("nothing panics while it holds a lock") {
            Some(error) => Err(error),
            None => Ok(done.into_iter().flatten().collect()),
        }
    }

    fn one(&self, job: &Job<'_>) -> Result<Record, EvalError> {
        let options = self.solver.options();
        let key = Key {
            contestant: self.contestant.to_owned(),
            format: options.format.name().to_owned(),
            suite: job.suite.name.clone(),
            task: job.task.id.clone(),
            sample: job.sample,
        };
        let Sampling { temperature, reply_tokens_max, seed, .. } = *self.sampling;
        let seed = draw_seed(seed, &key.suite, &key.task, key.sample);
        let model = self.solver.model(&Draw { temperature, seed, reply_tokens_max })?;
        try_task(key, job.task, model, &options, self.policy, &Help::default())
    }
}
