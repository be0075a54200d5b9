//! What one turn comes to, where a conversation stands, and how a turn is stopped.

use codeact_chat::Message;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Why a turn is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnEnd {
    /// The model gave a solution.
    Solution,
    /// It replied without an action: the reply is the answer.
    Answer,
    /// It used all its steps.
    StepLimit,
    /// It wanted to run more than it may, and had been told so.
    ExecutionLimit,
    /// It wrote as many tokens as it may.
    TokenLimit,
    /// The time was over.
    TimeLimit,
    /// It ran the same code with the same result three times, and was told so after the second.
    Repeated,
    /// Somebody stopped it.
    Interrupted,
    /// The conversation does not fit into the context, and nothing more could be shortened.
    Context,
    /// The model or Python failed.
    Error,
}

/// What one turn came to.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Turn {
    /// Why it is over.
    pub end: TurnEnd,
    /// The solution or the plain reply, trimmed. `None` when there is none.
    pub answer: Option<String>,
    /// The system message and the messages of this turn; a training conversation if it ended with an answer.
    pub messages: Vec<Message>,
    /// Replies of the model.
    pub steps: usize,
    /// How many of them had an action that ran.
    pub executions: usize,
    /// Tokens of all prompts of the turn, those that a cache held included.
    pub prompt_tokens: usize,
    /// Tokens of all replies.
    pub completion_tokens: usize,
    /// Wall-clock time.
    pub seconds: f64,
}

impl Turn {
    pub(crate) fn begun() -> Turn {
        Turn {
            end: TurnEnd::Error,
            answer: None,
            messages: Vec::new(),
            steps: 0,
            executions: 0,
            prompt_tokens: 0,
            completion_tokens: 0,
            seconds: 0.0,
        }
    }
}

/// Where a conversation and its Python are: what [`crate::Agent::undo_to`] and [`crate::Agent::branch`] go back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Mark {
    /// Messages of the conversation.
    pub messages: usize,
    /// Bytes of the last one: what the user says next may be added to it.
    pub last_bytes: usize,
    /// Cells that had their effect.
    pub cells: usize,
}

/// Stops the running turn from any thread. Between turns it does nothing.
#[derive(Debug, Clone)]
pub struct Interrupter {
    is_wanted: Arc<AtomicBool>,
    cell: codeact_sandbox::Interrupter,
}

impl Interrupter {
    pub(crate) fn new(cell: codeact_sandbox::Interrupter) -> Interrupter {
        Interrupter { is_wanted: Arc::default(), cell }
    }

    /// End the reply that is being written or the code that is running, and with it the turn.
    pub fn interrupt(&self) {
        self.is_wanted.store(true, Ordering::SeqCst);
        self.cell.interrupt();
    }

    /// Whether the running turn is to end. An [`crate::Approver`] that waits can look.
    pub fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::SeqCst)
    }

    /// End the code that is running, but not the turn.
    pub(crate) fn interrupt_cell(&self) {
        self.cell.interrupt();
    }

    pub(crate) fn clear(&self) {
        self.is_wanted.store(false, Ordering::SeqCst);
        self.cell.clear();
    }

    /// Forget a wish to end the code that came when it had ended by itself.
    pub(crate) fn clear_cell(&self) {
        if !self.is_wanted() {
            self.cell.clear();
        }
    }
}
