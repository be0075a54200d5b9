//! `POST /tokenize`, `/detokenize` and `/apply-template`: what a model makes of a text.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use codeact_chat::Message;
use serde_json::{Value, json};

use crate::edge::{JsonBody, Record};
use crate::fields::{Fields, Ignored};
use crate::models::Target;
use crate::openai::messages::take_messages;
use crate::openai::prompt::Prompt;
use crate::{ApiError, AppState};

/// Tokens that are decoded at once.
const TOKENS_MAX: usize = 1 << 20;

type Answer = fn(&AppState, &Target, Fields, &mut Ignored, &Record) -> Result<Value, ApiError>;

pub(crate) async fn tokenize(
    State(state): State<AppState>,
    Extension(record): Extension<Arc<Record>>,
    body: JsonBody,
) -> Result<Response, ApiError> {
    answer(state, record, body, tokens).await
}

pub(crate) async fn detokenize(
    State(state): State<AppState>,
    Extension(record): Extension<Arc<Record>>,
    body: JsonBody,
) -> Result<Response, ApiError> {
    answer(state, record, body, text).await
}

pub(crate) async fn apply_template(
    State(state): State<AppState>,
    Extension(record): Extension<Arc<Record>>,
    body: JsonBody,
) -> Result<Response, ApiError> {
    answer(state, record, body, prompt).await
}

async fn answer(state: AppState, record: Arc<Record>, body: JsonBody, answer: Answer) -> Result<Response, ApiError> {
    let edge = Arc::clone(&state.edge);
    let answered = edge.work(move || {
        body.read(&record, |mut body, ignored| {
            let target = state.models()?.find(body.text("model")?.as_deref())?;
            record.facts().model = Some(target.name.to_string());
            // Written here too: it may be long.
            Ok(answer(&state, &target, body, ignored, &record)?.to_string())
        })
    });
    let json = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(([json], answered.await??).into_response())
}

/// The ids of a `prompt` or of `messages`, as the completions would read them.
fn tokens(
    state: &AppState,
    target: &Target,
    mut body: Fields,
    ignored: &mut Ignored,
    record: &Record,
) -> Result<Value, ApiError> {
    let is_prefixed = body.flag("add_special_tokens", true)?;
    let is_open = body.flag("add_generation_prompt", true)?;
    let with_texts = body.flag("return_token_strs", false)?;
    let ids = match body.text("prompt")? {
        Some(text) => {
            // Known, so that a request with both is told apart from one with a word misspelt.
            body.unsupported("messages", |_| false, "`prompt` is there already", ignored)?;
            record.note_prompt(|| text.clone());
            let _memory = state.edge.memory_for_tokens(text.len())?;
            Prompt::of_text(&target.actor.format, text, is_prefixed)?.ids()
        }
        None => {
            let messages = take_messages(&mut body, ignored)?;
            let _memory = state.edge.memory_for_tokens(length(&messages))?;
            record.note_prompt(|| target.actor.format.render(&messages, is_open).unwrap_or_default());
            target.actor.format.message_ids(&messages, is_open)?
        }
    };
    body.finish(ignored)?;
    let mut answer = json!({
        "count": ids.len(),
        "max_model_len": state.models()?.base().actor.engine.context_tokens_max(),
        "tokens": ids,
    });
    if with_texts {
        answer["token_strs"] = ids.iter().map(|&id| Value::from(target.words.text(id))).collect();
    }
    Ok(answer)
}

/// The text of `tokens`, control tokens by their names.
fn text(
    _: &AppState,
    target: &Target,
    mut body: Fields,
    ignored: &mut Ignored,
    record: &Record,
) -> Result<Value, ApiError> {
    let Some(value) = body.take("tokens") else { return Err(body.missing("tokens")) };
    let items = value.as_array().filter(|items| items.len() <= TOKENS_MAX);
    let ids = items.and_then(|items| crate::fields::token_ids(items, target.vocab_size));
    let Some(ids) = ids else {
        return body.refuse("tokens", &value, &format!("token ids below {}", target.vocab_size));
    };
    body.finish(ignored)?;
    let text = target.actor.format.decode(&ids, false);
    record.note_prompt(|| text.clone());
    Ok(json!({"prompt": text}))
}

/// The text that the chat template makes of `messages`, and its tokens. The tokens are what counts: control-token text
/// inside of a message looks the same in the text, but is not a control token.
fn prompt(
    state: &AppState,
    target: &Target,
    mut body: Fields,
    ignored: &mut Ignored,
    record: &Record,
) -> Result<Value, ApiError> {
    let is_open = body.flag("add_generation_prompt", true)?;
    let messages: Vec<Message> = take_messages(&mut body, ignored)?;
    body.finish(ignored)?;
    let _memory = state.edge.memory_for_tokens(length(&messages))?;
    let text = target.actor.format.render(&messages, is_open)?;
    record.note_prompt(|| text.clone());
    let ids = target.actor.format.message_ids(&messages, is_open)?;
    Ok(json!({"prompt": text, "count": ids.len(), "tokens": ids}))
}

/// Bytes of all contents.
pub(crate) fn length(messages: &[Message]) -> usize {
    messages.iter().map(|message| message.content.len()).sum()
}
