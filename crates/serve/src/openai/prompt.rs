//! Prompts: what is continued, scored or embedded.

use codeact_chat::{ChatFormat, TextToken};
use serde_json::Value;

use crate::fields::{Fields, token_ids};
use crate::models::Target;
use crate::{ApiError, AppState};

/// Prompts of one request.
const PROMPTS_MAX: usize = 256;

/// A prompt as the engine takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Prompt {
    /// As it was given; for token ids, what they stand for.
    pub text: String,
    pub tokens: Vec<TextToken>,
}

impl Prompt {
    /// The tokens of a text, among them the control tokens that it spells.
    ///
    /// # Errors
    /// When the tokenizer gives up on it.
    pub fn of_text(format: &ChatFormat, text: String, is_prefixed: bool) -> Result<Prompt, ApiError> {
        let tokens = format.encode_prompt(&text, is_prefixed)?;
        Ok(Prompt { text, tokens })
    }

    /// * `token_ids`: all in the vocabulary of `target`.
    pub fn of_ids(target: &Target, token_ids: &[u32]) -> Prompt {
        // Bytes of one character may lie in several tokens; all of them begin where the first does.
        let (mut bytes, mut ends) = (Vec::new(), Vec::with_capacity(token_ids.len()));
        for &id in token_ids {
            bytes.extend_from_slice(&target.words.bytes(id));
            ends.push(bytes.len());
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let mut start = 0;
        let tokens = token_ids.iter().zip(ends).map(|(&id, end)| {
            let range = start..floor_boundary(&text, end).max(start);
            start = range.end;
            TextToken { id, range }
        });
        let tokens = tokens.collect();
        Prompt { text, tokens }
    }

    /// The tokens of messages. Nobody is told where they stand in a text.
    ///
    /// * `text`: for the log, or empty.
    pub fn of_messages(token_ids: Vec<u32>, text: String) -> Prompt {
        let tokens = token_ids.into_iter().map(|id| TextToken { id, range: 0..0 }).collect();
        Prompt { text, tokens }
    }

    pub fn ids(&self) -> Vec<u32> {
        self.tokens.iter().map(|token| token.id).collect()
    }
}

/// The last border of a character at or before `index`.
fn floor_boundary(text: &str, index: usize) -> usize {
    (0..=index.min(text.len())).rev().find(|&index| text.is_char_boundary(index)).unwrap_or(0)
}

/// Takes one or several prompts out of a field: a string, strings, token ids, or arrays of token ids.
///
/// # Errors
/// When it is something else, or there are too many.
pub(crate) fn take_prompts(
    body: &mut Fields,
    name: &'static str,
    target: &Target,
    state: &AppState,
) -> Result<Vec<Prompt>, ApiError> {
    let value = body.take(name).ok_or_else(|| body.missing(name))?;
    let wanted = || {
        let vocab_size = target.vocab_size;
        format!("a string, token ids below {vocab_size}, or an array of at most {PROMPTS_MAX} of these")
    };
    let prompt = |item: &Value| match item {
        Value::String(text) => {
            let _memory = target.room_for(text.len(), name, state)?;
            Prompt::of_text(&target.actor.format, text.clone(), true)
        }
        Value::Array(items) => match token_ids(items, target.vocab_size) {
            Some(ids) => Ok(Prompt::of_ids(target, &ids)),
            None => body.refuse(name, item, &wanted()),
        },
        other => body.refuse(name, other, &wanted()),
    };
    let prompts = match &value {
        Value::Array(items) if items.is_empty() => return body.refuse(name, &value, &wanted()),
        Value::Array(items) if !items[0].is_number() => {
            if items.len() > PROMPTS_MAX {
                return body.refuse(name, &value, &wanted());
            }
            items.iter().map(prompt).collect::<Result<Vec<_>, _>>()?
        }
        single => vec![prompt(single)?],
    };
    match prompts.iter().position(|prompt| prompt.tokens.is_empty()) {
        Some(index) => {
            let path = body.path(name);
            Err(ApiError::invalid(&path, format!("prompt {index} of `{path}` has no tokens")))
        }
        None => Ok(prompts),
    }
}
