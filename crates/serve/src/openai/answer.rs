//! What answers look like: whole, and in chunks.

use codeact_engine::TokenLogprobs;
use serde_json::{Map, Value, json};

use crate::models::Words;
use crate::openai::choice::{End, Entry};
use crate::openai::run::Usage;

/// What stands for the logarithm of nothing, which JSON cannot say; OpenAI's API has the same.
const IMPOSSIBLE: f64 = -9999.0;

/// The beginning of every body.
pub(crate) struct Envelope {
    pub id: String,
    pub object: &'static str,
    pub created: u64,
    pub model: String,
}

impl Envelope {
    pub fn new(prefix: &str, object: &'static str, model: &str) -> Envelope {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let id = format!("{prefix}-{:016x}", crate::state::fresh_seed());
        Envelope { id, object, created: now.map_or(0, |elapsed| elapsed.as_secs()), model: model.to_owned() }
    }

    /// A body with these choices.
    pub fn body(&self, choices: Vec<Value>) -> Value {
        let Envelope { id, object, created, model } = self;
        json!({"id": id, "object": object, "created": created, "model": model, "choices": choices})
    }
}

/// The end of an answer, in the fields of its choice.
pub(crate) fn add_end(choice: &mut Value, end: Option<&End>, stops: &[String]) {
    choice["finish_reason"] = json!(end.map(|end| end.reason));
    if let Some(stop) = end.and_then(|end| stops.get(end.stop_index?)) {
        choice["stop_reason"] = json!(stop);
    }
}

pub(crate) fn usage(usage: Usage) -> Value {
    json!({
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    })
}

/// As chat completions have them.
pub(crate) fn chat_logprobs(entries: &[Entry], words: &Words) -> Value {
    let token =
        |id: u32, logprob: f32| json!({"token": words.text(id), "logprob": number(logprob), "bytes": words.bytes(id)});
    let content = entries.iter().filter_map(|entry| {
        let TokenLogprobs { logprob, top } = entry.logprobs.as_ref()?;
        let mut shown = token(entry.id, *logprob);
        shown["top_logprobs"] = top.iter().map(|&(id, logprob)| token(id, logprob)).collect();
        Some(shown)
    });
    json!({"content": content.collect::<Vec<_>>(), "refusal": null})
}

/// As text completions have them.
pub(crate) fn text_logprobs(entries: &[Entry], words: &Words) -> Value {
    let top = |logprobs: &TokenLogprobs| {
        let mut map = Map::new();
        for &(id, logprob) in &logprobs.top {
            // Parts of characters may look alike; the likeliest of them stays.
            map.entry(words.text(id)).or_insert_with(|| number(logprob));
        }
        Value::Object(map)
    };
    let of = |entry: &Entry| entry.logprobs.as_ref().map(|logprobs| number(logprobs.logprob));
    json!({
        "tokens": entries.iter().map(|entry| words.text(entry.id)).collect::<Vec<_>>(),
        "token_logprobs": entries.iter().map(of).collect::<Vec<_>>(),
        "top_logprobs": entries.iter().map(|entry| entry.logprobs.as_ref().map(top)).collect::<Vec<_>>(),
        "text_offset": entries.iter().map(|entry| entry.offset).collect::<Vec<_>>(),
    })
}

fn number(logprob: f32) -> Value {
    let logprob = f64::from(logprob);
    json!(if logprob.is_finite() { logprob } else { IMPOSSIBLE })
}
