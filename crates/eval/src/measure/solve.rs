//! One try of one task: the agent loop, and what the grader says.

use std::sync::atomic::{AtomicUsize, Ordering};

use codeact_agent::{AgentOptions, Model, TurnEnd};
use codeact_sandbox::Policy;

use super::record::{Key, Record};
use crate::help::Help;
use crate::{EvalError, Task, run_task_with};

/// Tries in a row without an answer, after which it is hardly the requests that are at fault.
const UNANSWERED_MAX: usize = 5;

/// Tries in a row that ended because a model elsewhere did not answer a request.
#[derive(Debug, Default)]
pub(crate) struct Unanswered(AtomicUsize);

impl Unanswered {
    /// Takes note of a try that ended, and gives it back.
    ///
    /// # Errors
    /// When it is one too many. It is not to be written down then, so that it is made again.
    pub fn count(&self, record: Record) -> Result<Record, EvalError> {
        if record.end != TurnEnd::Error {
            self.0.store(0, Ordering::Relaxed);
            return Ok(record);
        }
        let count = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        match count < UNANSWERED_MAX {
            true => Ok(record),
            false => {
                let reason = record.reason.unwrap_or_default();
                Err(EvalError::Unanswered { count, id: record.key.task, reason })
            }
        }
    }
}

/// Lets `model` try `task` in a session of its own under `policy`, with `help`.
///
/// # Errors
/// As [`crate::run_task_with`].
pub fn try_task(
    key: Key,
    task: &Task,
    model: Box<dyn Model>,
    options: &AgentOptions,
    policy: &Policy,
    help: &Help,
) -> Result<Record, EvalError> {
    let outcome = run_task_with(task, model, options, policy, help)?;
    let is_graded = match outcome.end {
        TurnEnd::Solution => true,
        TurnEnd::Answer => !task.grader.needs_solution(),
        _ => false,
    };
    let failure = (!outcome.is_solved).then(|| Record::failure(outcome.end, &outcome.actions, is_graded));
    Ok(Record {
        key,
        family: outcome.family,
        is_solved: outcome.is_solved,
        solution: outcome.solution,
        reason: (!outcome.is_solved).then_some(outcome.verdict.why),
        end: outcome.end,
        failure,
        steps: outcome.steps,
        actions: outcome.actions,
        prompt_tokens: outcome.prompt_tokens,
        completion_tokens: outcome.completion_tokens,
        seconds: outcome.seconds,
        helped: outcome.helped,
        transcript: outcome.transcript,
    })
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::record;
    use super::*;

    #[test]
    fn several_in_a_row_without_an_answer_are_one_too_many() {
        let unanswered = Unanswered::default();
        let refused = || Record { end: TurnEnd::Error, ..record("m", "code", "t", false) };
        for _ in 0..2 {
            (1..UNANSWERED_MAX).for_each(|_| assert_eq!(unanswered.count(refused()).unwrap(), refused()));
            unanswered.count(record("m", "code", "t", false)).unwrap();
        }
        (1..UNANSWERED_MAX).for_each(|_| assert!(unanswered.count(refused()).is_ok()));
        let error = unanswered.count(refused()).unwrap_err();
        assert!(error.to_string().contains("5 tries in a row") && !error.is_bad_input(), "{error}");
    }
}
