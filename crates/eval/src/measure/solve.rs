//! One try of one task: the agent loop, and what the grader says.

use codeact_agent::{AgentOptions, Model, TurnEnd};
use codeact_sandbox::Policy;

use super::record::{Key, Record};
use crate::help::Help;
use crate::{EvalError, Task, run_task_with};

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
