//! One conversation whose task is at hand, run again.

use codeact_agent::ActionFormat;
use codeact_chat::{Message, Role};

use super::class::Verdict;
use super::options::VerifyOptions;
use super::replay::{Acted, Replayer};
use super::rows::{Row, Speaker};
use crate::{EvalError, Task};

/// Whether the observations of a conversation are true: its code runs again, in a fresh Python that has the files, the
/// tools and the setup of the task as it had for the first time. The setup of the options does not count.
///
/// * `format`: how its actions are written; calls run as the Python that they become.
///
/// # Errors
/// When Python does not start, or the preparation fails now.
pub fn verify_conversation(
    options: &VerifyOptions,
    task: &Task,
    format: ActionFormat,
    messages: &[Message],
) -> Result<Verdict, EvalError> {
    let mut options = VerifyOptions { setup: None, ..options.clone() };
    if let Some(seconds) = task.limits.cell_seconds {
        options.policy.limits.wall_ms_max = seconds * 1000;
    }
    let tools = task.tools(&options.policy)?;
    let known = tools.iter().map(|tool| tool.name.clone()).collect();
    let spoken = messages.iter().map(|message| {
        let speaker = match message.role {
            Role::System => Speaker::System,
            Role::User => Speaker::User,
            Role::Assistant => Speaker::Assistant,
        };
        (speaker, message.content.clone())
    });
    let row = Row { id: task.id.clone(), messages: spoken.collect() };
    let acted = Acted { task, format, tools };
    Ok(Replayer { options: &options, known, task: Some(acted) }.report(&row, 1)?.verdict)
}
