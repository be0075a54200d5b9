//! `POST /v1/chat/completions` and `POST /v1/completions`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use crate::agent::{Caller, chat_with_agent, is_agent};
pub(crate) use crate::edge::crashed;
use crate::edge::{JsonBody, Record};
use crate::fields::{Fields, Ignored};
use crate::openai::foreign::{refuse_in_chat, refuse_in_text};
use crate::openai::messages::take_messages;
use crate::openai::prompt::{Prompt, take_prompts};
use crate::openai::reply::reply;
use crate::openai::run::{Asked, Run};
use crate::openai::settings::{Settings, TOP_LOGPROBS_MAX};
use crate::openai::text::length;
use crate::{ApiError, AppState};

/// Tokens of an answer to a text, as OpenAI's API has it: a text has no end of its own.
const TEXT_TOKENS: usize = 16;

/// Continues messages.
pub(crate) async fn chat(
    State(state): State<AppState>,
    Extension(record): Extension<Arc<Record>>,
    caller: Caller,
    headers: HeaderMap,
    body: JsonBody,
) -> Result<Response, ApiError> {
    if is_agent(body.0.get("model")) {
        return chat_with_agent(state, caller, record, &headers, body.0).await;
    }
    answer(state, record, &headers, body, read_chat).await
}

/// Continues texts.
pub(crate) async fn text(
    State(state): State<AppState>,
    Extension(record): Extension<Arc<Record>>,
    headers: HeaderMap,
    body: JsonBody,
) -> Result<Response, ApiError> {
    answer(state, record, &headers, body, read_text).await
}

type Read = fn(&AppState, Fields, &mut Ignored, Arc<Record>, Duration) -> Result<Asked, ApiError>;

async fn answer(
    state: AppState,
    record: Arc<Record>,
    headers: &HeaderMap,
    body: JsonBody,
    read: Read,
) -> Result<Response, ApiError> {
    let time_max = state.edge.time_max(headers)?;
    // Templates and tokenizers take their time with long texts.
    let edge = Arc::clone(&state.edge);
    let started = edge.work(move || {
        let asked = body.read(&record, |body, ignored| read(&state, body, ignored, Arc::clone(&record), time_max))?;
        Run::start(&state, asked)
    });
    reply(started.await??).await
}

fn read_chat(
    state: &AppState,
    mut body: Fields,
    ignored: &mut Ignored,
    record: Arc<Record>,
    time_max: Duration,
) -> Result<Asked, ApiError> {
    let target = state.models()?.find(body.text("model")?.as_deref())?;
    let messages = take_messages(&mut body, ignored)?;
    let mut settings = Settings::read(&mut body, target.vocab_size, ignored)?;
    take_completion_tokens(&mut body, &mut settings)?;
    let is_wanted = body.flag("logprobs", false)?;
    let top = body.count("top_logprobs", 0, TOP_LOGPROBS_MAX)?;
    if top.is_some() && !is_wanted {
        return Err(ApiError::invalid("top_logprobs", "`top_logprobs` is only for `logprobs`: true"));
    }
    refuse_in_chat(&mut body, ignored)?;
    body.finish(ignored)?;
    let _memory = target.room_for(length(&messages), "messages", state)?;
    let ids = target.actor.format.prompt_ids(&messages)?;
    let text = if record.is_with_texts() { target.actor.format.decode(&ids, false) } else { String::new() };
    let prompts = vec![Prompt::of_messages(ids, text)];
    let logprobs = is_wanted.then(|| top.unwrap_or(0));
    let deadline = deadline(&record, time_max);
    Ok(Asked { target, prompts, settings, logprobs, is_echoed: false, is_chat: true, deadline, record })
}

/// The newer name of `max_tokens`.
pub(crate) fn take_completion_tokens(body: &mut Fields, settings: &mut Settings) -> Result<(), ApiError> {
    let Some(newer) = body.count("max_completion_tokens", 1, usize::MAX >> 1)? else { return Ok(()) };
    if settings.max_tokens.is_some_and(|older| older != newer) {
        let message = "`max_tokens` and `max_completion_tokens` are the same thing, but differ";
        return Err(ApiError::invalid("max_completion_tokens", message));
    }
    settings.max_tokens = Some(newer);
    settings.max_tokens_field = "max_completion_tokens";
    Ok(())
}

fn read_text(
    state: &AppState,
    mut body: Fields,
    ignored: &mut Ignored,
    record: Arc<Record>,
    time_max: Duration,
) -> Result<Asked, ApiError> {
    let target = state.models()?.find(body.text("model")?.as_deref())?;
    let prompts = take_prompts(&mut body, "prompt", &target, state)?;
    let mut settings = Settings::read(&mut body, target.vocab_size, ignored)?;
    settings.tokens_by_default = Some(TEXT_TOKENS);
    let logprobs = body.count("logprobs", 0, TOP_LOGPROBS_MAX)?;
    let is_echoed = body.flag("echo", false)?;
    refuse_in_text(&mut body, ignored)?;
    body.finish(ignored)?;
    let deadline = deadline(&record, time_max);
    Ok(Asked { target, prompts, settings, logprobs, is_echoed, is_chat: false, deadline, record })
}

fn deadline(record: &Record, time_max: Duration) -> Instant {
    record.start() + time_max
}
