//! What answers look like: whole, and in chunks. They are written as they stand, without a tree of values between.

use std::time::{SystemTime, UNIX_EPOCH};

use codeact_engine::TokenLogprobs;
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::Value;

use crate::models::Words;
use crate::openai::choice::{End, Entry};
use crate::openai::run::{Asked, Usage};

/// What stands for the logarithm of nothing, which JSON cannot say; OpenAI's API has the same.
const IMPOSSIBLE: f64 = -9999.0;

/// The beginning of every body.
pub(crate) struct Envelope {
    id: String,
    object: &'static str,
    created: u64,
    model: String,
}

/// What a body says it cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cost {
    /// Nothing.
    Unsaid,
    /// That it comes later.
    Later,
    /// All of it.
    Said(Usage),
}

/// A body.
#[derive(serde::Serialize)]
struct Body<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: &'a [Choice<'a>],
    #[serde(skip_serializing_if = "Cost::is_unsaid")]
    usage: Cost,
}

/// One answer, or what is new in it.
#[derive(serde::Serialize)]
pub(crate) struct Choice<'a> {
    pub index: usize,
    #[serde(flatten)]
    pub said: Said<'a>,
    pub logprobs: Logprobs<'a>,
    pub finish_reason: Option<&'static str>,
    /// The stop string that ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_reason: Option<&'a str>,
}

/// The text, where each kind of answer has it.
#[derive(serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Said<'a> {
    Message { role: &'static str, content: &'a str, refusal: Option<&'static str> },
    Delta(Delta<'a>),
    Text(&'a str),
}

/// What is new in a message.
#[derive(serde::Serialize)]
pub(crate) struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<&'a str>,
}

/// Log-probabilities of the tokens of an answer, or of none.
pub(crate) struct Logprobs<'a> {
    words: &'a Words,
    is_chat: bool,
    entries: Option<&'a [Entry]>,
}

impl Envelope {
    /// Of answers to `asked`, whole or in chunks.
    pub fn new(asked: &Asked, is_chunk: bool) -> Envelope {
        let (prefix, object) = match (asked.is_chat, is_chunk) {
            (true, false) => ("chatcmpl", "chat.completion"),
            (true, true) => ("chatcmpl", "chat.completion.chunk"),
            (false, _) => ("cmpl", "text_completion"),
        };
        let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs());
        let id = format!("{prefix}-{:016x}", crate::state::fresh_seed());
        Envelope { id, object, created, model: asked.target.name.to_string() }
    }

    /// A body with these answers.
    pub fn body(&self, choices: &[Choice<'_>], usage: Cost) -> String {
        let Envelope { id, object, created, model } = self;
        let body = Body { id, object, created: *created, model, choices, usage };
        serde_json::to_string(&body).expect("it has only text keys and finite numbers")
    }
}

impl Cost {
    fn is_unsaid(&self) -> bool {
        *self == Cost::Unsaid
    }
}

impl Serialize for Cost {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Cost::Said(usage) = self else { return serializer.serialize_none() };
        let total = usage.prompt_tokens + usage.completion_tokens;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("prompt_tokens", &usage.prompt_tokens)?;
        map.serialize_entry("completion_tokens", &usage.completion_tokens)?;
        map.serialize_entry("total_tokens", &total)?;
        map.serialize_entry("prompt_tokens_details", &serde_json::json!({"cached_tokens": usage.cached_tokens}))?;
        map.end()
    }
}

impl<'a> Choice<'a> {
    /// * `end`: how it ended, if it did.
    pub fn new(
        asked: &'a Asked,
        index: usize,
        said: Said<'a>,
        entries: Option<&'a [Entry]>,
        end: Option<&End>,
    ) -> Choice<'a> {
        let entries = entries.filter(|_| asked.logprobs.is_some());
        let stop_index = end.and_then(|end| end.stop_index);
        Choice {
            index,
            said,
            logprobs: Logprobs { words: &asked.target.words, is_chat: asked.is_chat, entries },
            finish_reason: end.map(|end| end.reason),
            stop_reason: stop_index.and_then(|index| asked.settings.stop_texts.get(index)).map(String::as_str),
        }
    }
}

impl Serialize for Logprobs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Some(entries) = self.entries else { return serializer.serialize_none() };
        if self.is_chat {
            let mut map = serializer.serialize_map(Some(2))?;
            let scored = entries.iter().filter_map(|entry| Some((entry.id, entry.logprobs.as_ref()?)));
            map.serialize_entry("content", &List(|| scored.clone().map(|token| ChatToken(self.words, token))))?;
            map.serialize_entry("refusal", &Value::Null)?;
            return map.end();
        }
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("tokens", &List(|| entries.iter().map(|entry| self.words.text(entry.id))))?;
        let of = |entry: &Entry| entry.logprobs.as_ref().map(|logprobs| number(logprobs.logprob));
        map.serialize_entry("token_logprobs", &List(|| entries.iter().map(of)))?;
        let top = |entry: &'_ Entry| entry.logprobs.as_ref().map(|logprobs| top(self.words, logprobs));
        map.serialize_entry("top_logprobs", &List(|| entries.iter().map(top)))?;
        map.serialize_entry("text_offset", &List(|| entries.iter().map(|entry| entry.offset)))?;
        map.end()
    }
}

/// An array out of what this makes.
struct List<F>(F);

impl<F: Fn() -> I, I: Iterator<Item: Serialize>> Serialize for List<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        self.0().try_for_each(|item| list.serialize_element(&item))?;
        list.end()
    }
}

/// A token as chat completions have it, with the likeliest in its place.
struct ChatToken<'a>(&'a Words, (u32, &'a TokenLogprobs));

impl Serialize for ChatToken<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ChatToken(words, (id, TokenLogprobs { logprob, top })) = *self;
        let mut map = serializer.serialize_map(Some(4))?;
        token(&mut map, words, id, *logprob)?;
        map.serialize_entry("top_logprobs", &List(|| top.iter().map(|&likely| Likely(words, likely))))?;
        map.end()
    }
}

/// One of the likeliest tokens.
struct Likely<'a>(&'a Words, (u32, f32));

impl Serialize for Likely<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        token(&mut map, self.0, self.1.0, self.1.1)?;
        map.end()
    }
}

fn token<M: SerializeMap>(map: &mut M, words: &Words, id: u32, logprob: f32) -> Result<(), M::Error> {
    let bytes = words.bytes(id);
    map.serialize_entry("token", &String::from_utf8_lossy(&bytes))?;
    map.serialize_entry("logprob", &number(logprob))?;
    map.serialize_entry("bytes", &bytes)
}

/// The likeliest tokens as text completions have them.
fn top(words: &Words, logprobs: &TokenLogprobs) -> serde_json::Map<String, Value> {
    let mut map = serde_json::Map::new();
    for &(id, logprob) in &logprobs.top {
        // Parts of characters may look alike; the likeliest of them stays.
        map.entry(words.text(id)).or_insert_with(|| number(logprob).into());
    }
    map
}

fn number(logprob: f32) -> f64 {
    let logprob = f64::from(logprob);
    if logprob.is_finite() { logprob } else { IMPOSSIBLE }
}
