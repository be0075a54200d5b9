//! Events put together: what was asked, thought, run and answered, turn by turn.

use crate::{Event, TurnEnd};
use codeact_sandbox::{CellError, Stream};
use std::collections::BTreeMap;

/// One thing of a turn.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Part {
    /// What the user said.
    Asked(String),
    /// What the model wrote besides its actions.
    Thought(String),
    /// Code that ran, or was to run.
    Code(Box<Code>),
    /// What the model was told besides.
    Hint(String),
    /// The answer that is not in a thought.
    Answer(String),
    /// Why there is none.
    Ended(TurnEnd),
    /// What failed.
    Failed(String),
}

/// Code and what came of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Code {
    pub code: String,
    pub outputs: Vec<Shown>,
    pub error: Option<CellError>,
    /// Whether it ran.
    pub has_run: bool,
}

/// What code showed, in order.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shown {
    Text(Stream, String),
    Display(BTreeMap<String, String>),
    Value(BTreeMap<String, String>),
}

/// The turns that were not taken back.
pub(super) fn turns(events: &[Event]) -> Vec<Vec<Part>> {
    let mut turns: Vec<Vec<Part>> = Vec::new();
    for event in events {
        match event {
            Event::TurnStart { content } => turns.push(vec![Part::Asked(content.clone())]),
            Event::Undone { turns: count, .. } => turns.truncate(turns.len().saturating_sub(*count)),
            event => {
                if let Some(parts) = turns.last_mut() {
                    add(parts, event);
                }
            }
        }
    }
    turns
}

fn add(parts: &mut Vec<Part>, event: &Event) {
    match event {
        Event::Token { text } => match parts.last_mut() {
            Some(Part::Thought(thought)) => thought.push_str(text),
            _ => parts.push(Part::Thought(text.clone())),
        },
        Event::CodeEnd { code, .. } => {
            if let Some(Part::Thought(thought)) = parts.last_mut() {
                forget_fence(thought, code);
            }
            parts.push(Part::Code(Box::new(Code { code: code.clone(), ..Code::default() })));
        }
        Event::ExecStart { code, .. } => match last_code(parts).filter(|last| !last.has_run) {
            Some(last) => (last.code, last.has_run) = (code.clone(), true),
            None => parts.push(Part::Code(Box::new(Code { code: code.clone(), has_run: true, ..Code::default() }))),
        },
        Event::ExecStdout { stream, text, .. } => {
            if let Some(code) = last_code(parts) {
                match code.outputs.last_mut() {
                    Some(Shown::Text(last, shown)) if last == stream => shown.push_str(text),
                    _ => code.outputs.push(Shown::Text(*stream, text.clone())),
                }
            }
        }
        Event::ExecDisplay { data } => {
            last_code(parts).into_iter().for_each(|code| code.outputs.push(Shown::Display(data.clone())));
        }
        Event::ExecEnd { value, error, .. } => {
            if let Some(code) = last_code(parts) {
                code.outputs.extend((!value.is_empty()).then(|| Shown::Value(value.clone())));
                code.error.clone_from(error);
            }
        }
        Event::Hint { text } => parts.push(Part::Hint(text.clone())),
        // A reply without a tag stands there already.
        Event::Answer { text } if !matches!(parts.last(), Some(Part::Thought(thought)) if thought.trim() == text) => {
            parts.push(Part::Answer(text.clone()));
        }
        Event::Error { message, .. } => parts.push(Part::Failed(message.clone())),
        Event::TurnEnd { end, .. } if !matches!(end, TurnEnd::Solution | TurnEnd::Answer | TurnEnd::Error) => {
            parts.push(Part::Ended(*end));
        }
        _ => {}
    }
}

/// Code in a fence came as a part of the thought.
fn forget_fence(thought: &mut String, code: &str) {
    let fence = thought.find("```py").filter(|at| code.lines().all(|line| thought[*at..].contains(line.trim())));
    thought.truncate(fence.unwrap_or(thought.len()));
}

fn last_code(parts: &mut [Part]) -> Option<&mut Code> {
    parts.iter_mut().rev().find_map(|part| match part {
        Part::Code(code) => Some(code.as_mut()),
        _ => None,
    })
}

/// Why a turn has no answer, in words.
pub(super) fn words(end: TurnEnd) -> &'static str {
    match end {
        TurnEnd::StepLimit => "No answer: all steps are used.",
        TurnEnd::ExecutionLimit => "No answer: no more code may run.",
        TurnEnd::TokenLimit => "No answer: all tokens are used.",
        TurnEnd::TimeLimit => "No answer: the time is over.",
        TurnEnd::Repeated => "No answer: the same code came again and again.",
        TurnEnd::Interrupted => "Interrupted.",
        TurnEnd::Context => "No answer: the context is full.",
        TurnEnd::Solution | TurnEnd::Answer | TurnEnd::Error => "",
    }
}
