//! What answers of the agent as a model look like.

use serde_json::{Value, json};

use crate::agent::log::unix_seconds;
use crate::openai::Usage;
use crate::state::fresh_seed;

/// The bodies of one answer.
pub(crate) struct Bodies {
    id: String,
    created: u64,
    model: String,
}

impl Bodies {
    pub fn new(model: &str) -> Bodies {
        let id = format!("chatcmpl-{:016x}", fresh_seed());
        Bodies { id, created: unix_seconds() as u64, model: model.to_owned() }
    }

    /// All of it at once.
    pub fn whole(&self, text: &str, reason: &str, used: Usage) -> Value {
        let message = json!({"role": "assistant", "content": text, "refusal": null});
        let choice = json!({"index": 0, "message": message, "logprobs": null, "finish_reason": reason});
        let mut body = self.body("chat.completion", &[choice]);
        body["usage"] = usage(used);
        body
    }

    /// A piece of it.
    pub fn chunk(&self, delta: Value, reason: Option<&str>) -> Value {
        let choice = json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": reason});
        self.body("chat.completion.chunk", &[choice])
    }

    /// The last chunk, which says what it cost.
    pub fn cost(&self, used: Usage) -> Value {
        let mut body = self.body("chat.completion.chunk", &[]);
        body["usage"] = usage(used);
        body
    }

    fn body(&self, object: &str, choices: &[Value]) -> Value {
        let Bodies { id, created, model } = self;
        json!({"id": id, "object": object, "created": created, "model": model, "choices": choices})
    }
}

fn usage(used: Usage) -> Value {
    json!({
        "prompt_tokens": used.prompt_tokens,
        "completion_tokens": used.completion_tokens,
        "total_tokens": used.prompt_tokens + used.completion_tokens,
    })
}
