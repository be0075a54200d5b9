//! What came of the tasks that an agent was given.

use std::collections::BTreeMap;

use codeact_eval::{Outcome, Task};
use serde::{Deserialize, Serialize};

/// What came of all tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// Tasks that were solved.
    pub solved: usize,
    /// All of them.
    pub tasks: usize,
    /// Actions that ran.
    pub executions: usize,
    /// Tokens that the model wrote.
    pub completion_tokens: usize,
    /// Of each family tasks that were solved, and tasks.
    pub by_family: BTreeMap<String, (usize, usize)>,
}

impl Tried {
    /// Counts them; what could not be run is not solved.
    ///
    /// * `done`: an outcome for each of `tasks`, or none.
    pub(crate) fn of(tasks: &[Task], done: &[Option<Outcome>]) -> Tried {
        let mut tried =
            Tried { solved: 0, tasks: tasks.len(), executions: 0, completion_tokens: 0, by_family: BTreeMap::new() };
        for (task, outcome) in tasks.iter().zip(done) {
            let (solved, tasks) = tried.by_family.entry(task.family.clone()).or_default();
            *tasks += 1;
            let Some(outcome) = outcome else { continue };
            *solved += usize::from(outcome.is_solved);
            tried.solved += usize::from(outcome.is_solved);
            tried.executions += outcome.executions;
            tried.completion_tokens += outcome.completion_tokens;
        }
        tried
    }
}
