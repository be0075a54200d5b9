//! What a listener is told while a turn runs. One event is one JSON object with its kind in `type`.

use crate::{TurnEnd, Verdict};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use codeact_sandbox::{Bundle, CellEnd, CellError, Restored, State, Stream};
use std::collections::BTreeMap;

/// Something happened. Joined, the `text`s of one kind between two others are what was written.
///
/// The last four belong to a session of turns; [`crate::Agent::run_turn`] never tells them.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "type")]
pub enum Event {
    /// A turn begins.
    #[serde(rename = "turn.start")]
    TurnStart {
        /// What the user said.
        content: String,
    },
    /// The model is asked for a reply.
    #[serde(rename = "step.start")]
    StepStart {
        /// Which one of the turn, from 1.
        step: usize,
    },
    /// The model writes outside of its actions: a thought, or an answer without a tag.
    #[serde(rename = "token")]
    Token {
        /// The next piece.
        text: String,
    },
    /// The model writes an action.
    #[serde(rename = "code.delta")]
    CodeDelta {
        /// The next piece, verbatim.
        text: String,
    },
    /// The action is complete.
    #[serde(rename = "code.end")]
    CodeEnd {
        /// The step.
        step: usize,
        /// The whole code, as it will run.
        code: String,
    },
    /// The model writes a solution.
    #[serde(rename = "solution.delta")]
    SolutionDelta {
        /// The next piece, verbatim.
        text: String,
    },
    /// Somebody is asked whether code may run.
    #[serde(rename = "approval.required")]
    ApprovalRequired {
        /// Names the question.
        approval: String,
        /// The step.
        step: usize,
        /// The code.
        code: String,
        /// It is no code of the model, but this tool that the code calls: `code` is the call.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tool: Option<String>,
    },
    /// The question has been answered.
    #[serde(rename = "approval.resolved")]
    ApprovalResolved {
        /// Names the question.
        approval: String,
        /// The answer.
        decision: Verdict,
        /// Why not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// What runs instead.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<String>,
    },
    /// Code starts to run.
    #[serde(rename = "exec.start")]
    ExecStart {
        /// The step.
        step: usize,
        /// All of it.
        code: String,
    },
    /// Code prints.
    #[serde(rename = "exec.stdout")]
    ExecStdout {
        /// Where to.
        stream: Stream,
        /// The next piece.
        text: String,
        /// Whether it comes from what earlier code left running. In JSON, `late` stands there only where it is true.
        #[serde(rename = "late", default, skip_serializing_if = "std::ops::Not::not")]
        is_late: bool,
    },
    /// Code shows a figure, a table, or something else.
    #[serde(rename = "exec.display")]
    ExecDisplay {
        /// The same thing by MIME type: text as it is, everything else, such as `image/png`, in base64.
        data: BTreeMap<String, String>,
    },
    /// Code has ended, and this is what the model will see of it.
    #[serde(rename = "exec.end")]
    ExecEnd {
        /// The step.
        step: usize,
        /// Output, value and error, cut to the limit.
        observation: String,
        /// How it ended.
        end: CellEnd,
        /// What became of the variables and files from before.
        state: State,
        /// Wall-clock time.
        seconds: f64,
        /// The value of the last expression, as in a display.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        value: BTreeMap<String, String>,
        /// What was raised, or how Python ended.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<CellError>,
    },
    /// The model has been told something besides an observation: that it repeats itself, that its reply was cut, that
    /// its code is no Python.
    #[serde(rename = "hint")]
    Hint {
        /// What it was told.
        text: String,
    },
    /// The model is shown less of old observations than before, because the context is full.
    #[serde(rename = "context.shortened")]
    ContextShortened {
        /// Observations that were shortened now.
        observations: usize,
        /// Tokens of the prompt now, where they are counted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tokens: Option<usize>,
        /// Tokens that a prompt may have, where that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tokens_max: Option<usize>,
    },
    /// A reply is complete.
    #[serde(rename = "usage")]
    Usage {
        /// The step.
        step: usize,
        /// Tokens of its prompt; 0 when the model does not count.
        prompt_tokens: usize,
        /// How many of them were in a cache: the reply did not wait for those.
        #[serde(default)]
        cached_tokens: usize,
        /// Tokens of the reply.
        completion_tokens: usize,
        /// Wall-clock time of the reply.
        seconds: f64,
    },
    /// The answer of the turn.
    #[serde(rename = "answer")]
    Answer {
        /// The solution, or the reply without a tag, trimmed.
        text: String,
    },
    /// The turn cannot go on.
    #[serde(rename = "error")]
    Error {
        /// Why, and what helps.
        message: String,
        /// The same as a word: see [`crate::AgentError::code`].
        code: String,
    },
    /// The turn is over.
    #[serde(rename = "turn.end")]
    TurnEnd {
        /// Why.
        end: TurnEnd,
        /// Replies of the model.
        steps: usize,
        /// How many of them had an action that ran.
        executions: usize,
        /// Tokens of all prompts.
        prompt_tokens: usize,
        /// Tokens of all replies.
        completion_tokens: usize,
        /// Wall-clock time.
        seconds: f64,
    },
    /// Turns were taken back.
    #[serde(rename = "undone")]
    Undone {
        /// How many.
        turns: usize,
        /// How Python came back.
        restored: Restored,
    },
    /// Another session goes on from a turn of this one.
    #[serde(rename = "branched")]
    Branched {
        /// Its id.
        session: String,
        /// The turn.
        at: usize,
    },
    /// Settings of the session changed.
    #[serde(rename = "updated")]
    Updated {
        /// The new title.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        title: Option<String>,
        /// Whether code waits for approval from now on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        approval: Option<String>,
        /// The new model.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        model: Option<String>,
    },
}

impl Event {
    /// Its `type`, as in JSON.
    pub fn kind(&self) -> &'static str {
        match self {
            Event::TurnStart { .. } => "turn.start",
            Event::StepStart { .. } => "step.start",
            Event::Token { .. } => "token",
            Event::CodeDelta { .. } => "code.delta",
            Event::CodeEnd { .. } => "code.end",
            Event::SolutionDelta { .. } => "solution.delta",
            Event::ApprovalRequired { .. } => "approval.required",
            Event::ApprovalResolved { .. } => "approval.resolved",
            Event::ExecStart { .. } => "exec.start",
            Event::ExecStdout { .. } => "exec.stdout",
            Event::ExecDisplay { .. } => "exec.display",
            Event::ExecEnd { .. } => "exec.end",
            Event::Hint { .. } => "hint",
            Event::ContextShortened { .. } => "context.shortened",
            Event::Usage { .. } => "usage",
            Event::Answer { .. } => "answer",
            Event::Error { .. } => "error",
            Event::TurnEnd { .. } => "turn.end",
            Event::Undone { .. } => "undone",
            Event::Branched { .. } => "branched",
            Event::Updated { .. } => "updated",
        }
    }
}

/// What an event has of `bundle`: by MIME type, text as it is, and everything else, such as `image/png`, in base64.
pub(crate) fn formats(bundle: &Bundle) -> BTreeMap<String, String> {
    let content = |mime: &str, bytes: &[u8]| match is_text(mime) {
        true => String::from_utf8_lossy(bytes).into_owned(),
        false => BASE64_STANDARD.encode(bytes),
    };
    bundle.iter().map(|(mime, bytes)| (mime.to_string(), content(mime, bytes))).collect()
}

/// Whether the content of this MIME type stands in an event as it is.
pub(crate) fn is_text(mime: &str) -> bool {
    mime.starts_with("text/")
        || ["+json", "+xml", "/json", "/xml", "/javascript"].into_iter().any(|end| mime.ends_with(end))
}
