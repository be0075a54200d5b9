//! What a listener is told while a turn runs. One event is one JSON object with its kind in `type`.

use crate::TurnEnd;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use codeact_sandbox::{Bundle, CellEnd, State, Stream};
use std::collections::BTreeMap;

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
        /// Whether it comes from what earlier code left running. In JSON, `late` stands there only where it is true.
        #[serde(rename = "late", skip_serializing_if = "std::ops::Not::not")]
        is_late: bool,
    },
    /// The code shows a figure, a table, or something else.
    Display {
        /// The same thing by MIME type: text as it is, everything else, such as `image/png`, in base64.
        data: BTreeMap<String, String>,
    },
    /// The code has ended, and this is what the model will see of it.
    Observation {
        /// Output, value and error, cut to the limit.
        text: String,
        /// How it ended.
        end: CellEnd,
        /// What became of the variables and files from before.
        state: State,
        /// The value of the last expression, as in a display, where it has more than plain text.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        value: BTreeMap<String, String>,
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

/// What an event has of `bundle`: by MIME type, text as it is, and everything else, such as `image/png`, in base64.
pub(crate) fn formats(bundle: &Bundle) -> BTreeMap<String, String> {
    let content = |mime: &str, bytes: &[u8]| match is_text(mime) {
        true => String::from_utf8_lossy(bytes).into_owned(),
        false => BASE64_STANDARD.encode(bytes),
    };
    bundle.iter().map(|(mime, bytes)| (mime.to_string(), content(mime, bytes))).collect()
}

fn is_text(mime: &str) -> bool {
    mime.starts_with("text/")
        || ["+json", "+xml", "/json", "/xml", "/javascript"].into_iter().any(|end| mime.ends_with(end))
}
