//! What a listener is told while a turn runs. One event is one JSON object with its kind in `type`.

use crate::TurnEnd;
use codeact_sandbox::{CellEnd, Stream};

/// Something happened in a turn. Joined, the `text`s of one kind between two others are what was written.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// The model writes outside of its tags: a thought, or an answer without a tag.
    Text {
        /// The next piece.
        text: String,
    },
    /// The model writes code.
    Code {
        /// The next piece, verbatim.
        text: String,
    },
    /// The model writes a solution.
    Solution {
        /// The next piece, verbatim.
        text: String,
    },
    /// The code is complete and starts to run.
    Execute {
        /// All of it, as it runs.
        code: String,
        /// Which step of the turn this is, from 1.
        step: usize,
    },
    /// The code prints.
    Output {
        /// Where to.
        stream: Stream,
        /// The next piece.
        text: String,
    },
    /// The code has ended, and this is what the model will see of it.
    Observation {
        /// Output, value and error, cut to the limit.
        text: String,
        /// How it ended.
        end: CellEnd,
        /// Whether Python had to be restarted.
        state_lost: bool,
    },
    /// The model has been told something besides an observation: that it repeats itself, or that its reply was cut.
    Hint {
        /// What it was told.
        text: String,
    },
    /// A reply is complete.
    Usage {
        /// Tokens of its prompt; 0 when the model does not count.
        prompt_tokens: usize,
        /// Tokens of the reply.
        completion_tokens: usize,
    },
    /// The turn is over with an answer.
    Answer {
        /// The solution, or the reply without a tag, trimmed.
        text: String,
    },
    /// Somebody stopped the turn.
    Interrupted,
    /// The turn is over without an answer.
    Stopped {
        /// Why.
        end: TurnEnd,
    },
}
