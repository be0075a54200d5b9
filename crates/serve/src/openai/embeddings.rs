//! `POST /v1/embeddings`: the mean over a text's tokens of the hidden states after the last norm, of length 1.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::{Extension, Json};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use codeact_engine::{EngineError, Event, Output, Request, Sampling, Ticket};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::edge::{JsonBody, Record};
use crate::error::ErrorKind;
use crate::fields::{Fields, Ignored};
use crate::models::Target;
use crate::openai::prompt::{Prompt, take_prompts};
use crate::{ApiError, AppState};

/// Texts of one request that are in the engine at once.
const AT_ONCE: usize = 8;

struct Asked {
    target: Target,
    prompts: Vec<Prompt>,
    is_base64: bool,
    salt: u128,
}

pub(crate) async fn create(
    State(state): State<AppState>,
    Extension(record): Extension<Arc<Record>>,
    headers: HeaderMap,
    body: JsonBody,
) -> Result<Json<Value>, ApiError> {
    let deadline = record.start() + state.edge.time_max(&headers)?;
    let reading = state.clone();
    let noting = Arc::clone(&record);
    let asked = state.edge.work(move || read(&reading, &noting, body)).await??;
    let embeddings = embed(&asked, deadline).await?;
    let data = embeddings.iter().enumerate().map(|(index, embedding)| {
        let shown = if asked.is_base64 { json!(in_base64(embedding)) } else { json!(embedding) };
        json!({"object": "embedding", "index": index, "embedding": shown})
    });
    let prompt_tokens = asked.prompts.iter().map(|prompt| prompt.tokens.len()).sum::<usize>();
    record.facts().prompt_tokens = Some(prompt_tokens);
    Ok(Json(json!({
        "object": "list",
        "data": data.collect::<Vec<_>>(),
        "model": &*asked.target.name,
        "usage": {"prompt_tokens": prompt_tokens, "total_tokens": prompt_tokens},
    })))
}

fn read(state: &AppState, record: &Record, body: JsonBody) -> Result<Asked, ApiError> {
    body.read(record, |body, ignored| take(state, record, body, ignored))
}

fn take(state: &AppState, record: &Record, mut body: Fields, ignored: &mut Ignored) -> Result<Asked, ApiError> {
    let target = state.models()?.find(body.text("model")?.as_deref())?;
    let prompts = take_prompts(&mut body, "input", &target, state)?;
    let is_base64 = match body.text("encoding_format")?.as_deref() {
        None | Some("float") => false,
        Some("base64") => true,
        Some(other) => return body.refuse("encoding_format", &Value::from(other), "`float` or `base64`"),
    };
    body.unsupported("dimensions", |_| false, "all of them come", ignored)?;
    body.unsupported("user", Value::is_string, "", ignored)?;
    body.finish(ignored)?;
    record.facts().model = Some(target.name.to_string());
    record.note_prompt(|| prompts.iter().map(|prompt| prompt.text.as_str()).collect::<Vec<_>>().join("\n"));
    let context = state.models()?.base().actor.engine.context_tokens_max();
    if let Some(index) = prompts.iter().position(|prompt| prompt.tokens.len() > context) {
        let count = prompts[index].tokens.len();
        let message = format!("the context of this model is {context} tokens, but text {index} has {count}");
        return Err(ApiError::new(ErrorKind::ContextLength, message));
    }
    Ok(Asked { target, prompts, is_base64, salt: record.salt(None) })
}

/// A text that the engine has.
struct Embedding {
    events: UnboundedReceiver<Event>,
    _ticket: Ticket,
}

async fn embed(asked: &Asked, deadline: Instant) -> Result<Vec<Vec<f32>>, ApiError> {
    let mut running: VecDeque<Embedding> = VecDeque::new();
    let mut embeddings = Vec::with_capacity(asked.prompts.len());
    let mut prompts = asked.prompts.iter().peekable();
    while embeddings.len() < asked.prompts.len() {
        while let Some(prompt) = prompts.peek().filter(|_| running.len() < AT_ONCE) {
            match submit(asked, prompt, deadline) {
                Ok(embedding) => {
                    running.push_back(embedding);
                    prompts.next();
                }
                // The first must find room at once; the others may wait for those before them.
                Err(EngineError::Busy { .. }) if !running.is_empty() => break,
                Err(error) => return Err(error.into()),
            }
        }
        let next = running.pop_front().expect("either one is running or the first was refused");
        embeddings.push(next.finish().await?);
    }
    Ok(embeddings)
}

fn submit(asked: &Asked, prompt: &Prompt, deadline: Instant) -> Result<Embedding, EngineError> {
    let (sender, events) = unbounded_channel();
    let request = Request {
        adapter: asked.target.actor.adapter.clone(),
        salt: asked.salt,
        output: Output::Embedding,
        deadline: Some(deadline),
        ..Request::new(prompt.ids(), Sampling::default())
    };
    let on_event = Box::new(move |event| drop(sender.send(event)));
    Ok(Embedding { events, _ticket: asked.target.actor.engine.submit(request, on_event)? })
}

impl Embedding {
    async fn finish(mut self) -> Result<Vec<f32>, ApiError> {
        while let Some(event) = self.events.recv().await {
            match event {
                Event::Embedding(embedding) => return Ok(unit(embedding)),
                Event::Failed(error) => return Err(error.into()),
                Event::Done(_) => {
                    let message = "the time for this request was over before its texts were read";
                    return Err(ApiError::new(ErrorKind::Deadline, message));
                }
                Event::Started { .. } | Event::Token(_) => {}
            }
        }
        Err(ApiError::internal("the engine went away"))
    }
}

/// The same direction at length 1, so that a product of two is the cosine between them.
fn unit(embedding: Vec<f32>) -> Vec<f32> {
    let squares: f64 = embedding.iter().map(|value| f64::from(*value).powi(2)).sum();
    let length = squares.sqrt().max(f64::MIN_POSITIVE);
    embedding.into_iter().map(|value| (f64::from(value) / length) as f32).collect()
}

/// Little-endian f32, as OpenAI's clients read them.
fn in_base64(embedding: &[f32]) -> String {
    let bytes: Vec<u8> = embedding.iter().flat_map(|value| value.to_le_bytes()).collect();
    STANDARD.encode(bytes)
}
