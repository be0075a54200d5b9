//! The fields of a chat completion that is for the agent: what chooses tokens counts for each reply, and what would change
//! the text of replies is refused, because the loop reads them.

use codeact_chat::Message;

use crate::ApiError;
use crate::fields::{Fields, Ignored};
use crate::openai::completions::take_completion_tokens;
use crate::openai::foreign::refuse_in_chat;
use crate::openai::messages::take_messages;
use crate::openai::settings::{AnswerShape, Settings};

/// Stop strings that many clients send and that no text of the agent has: they change nothing.
const TAGS: [&str; 6] = ["<execute>", "</execute>", "<solution>", "</solution>", "<|im_start|>", "<|im_end|>"];

/// Reads messages and settings; `model` is taken already.
///
/// # Errors
/// When a field has a value that it cannot have here; the message names it.
pub(crate) fn agent_fields(
    body: &mut Fields,
    vocab_size: usize,
    ignored: &mut Ignored,
) -> Result<(Vec<Message>, Settings), ApiError> {
    let messages = take_messages(body, ignored)?;
    let mut settings = Settings::read(body, vocab_size, ignored)?;
    take_completion_tokens(body, &mut settings)?;
    for absent in ["logprobs", "top_logprobs"] {
        body.unsupported(absent, |value| value == false || value == 0, "", ignored)?;
    }
    refuse_in_chat(body, ignored)?;
    let refuse = |field: &str, what: &str| {
        let message = format!("`{field}`: {what}\nhint: the plain model has it; leave out `codeact-agent`");
        Err(ApiError::unsupported(field, message))
    };
    if settings.choice_count != 1 {
        return refuse("n", "the agent gives one answer");
    }
    if settings.shape != AnswerShape::Free {
        return refuse("response_format", "the agent's answers are text");
    }
    if settings.stop_texts.iter().any(|stop| !TAGS.contains(&stop.as_str())) {
        return refuse("stop", "the agent's answers end by themselves");
    }
    if !settings.stop_ids.is_empty() || settings.sampling.ignore_eos {
        return refuse("stop_token_ids", "the agent's answers end by themselves");
    }
    Ok((messages, settings))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_would_change_the_text_of_replies_is_refused() {
        let read = |more: Value| {
            let mut all = json!({"messages": [{"role": "user", "content": "x"}]});
            all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let mut body = Fields::new(all, "").unwrap();
            let read = agent_fields(&mut body, 100, &mut Ignored::default()).map(drop);
            read.and_then(|()| body.finish(&mut Ignored::default())).map_err(|error| error.message().to_owned())
        };
        for fine in [json!({}), json!({"stop": ["</execute>", "<|im_end|>"]}), json!({"n": 1, "logprobs": false})] {
            assert_eq!(read(fine.clone()), Ok(()), "{fine}");
        }
        for (more, field) in [
            (json!({"n": 2}), "`n`"),
            (json!({"stop": ["x"]}), "`stop`"),
            (json!({"response_format": {"type": "json_object"}}), "`response_format`"),
            (json!({"logprobs": true}), "`logprobs`"),
            (json!({"ignore_eos": true}), "`stop_token_ids`"),
            (json!({"tools": [{}]}), "`tools`"),
        ] {
            assert!(read(more.clone()).unwrap_err().starts_with(field), "{more}");
        }
    }
}
