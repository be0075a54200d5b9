//! `POST /v1/chat/completions`: the plain model, as OpenAI's API has it. No code runs here.

use std::convert::Infallible;

use axum::Json;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use codeact_chat::{Message, Role};
use codeact_engine::{FinishReason, Generated, Sampling};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::edge::JsonBody;
use crate::state::{Wanted, fresh_seed};
use crate::{ApiError, AppState};

/// Events that may wait for a slow reader before the model waits too.
const EVENTS_AHEAD: usize = 64;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    model: Option<String>,
    messages: Vec<Message>,
    #[serde(alias = "max_completion_tokens")]
    max_tokens: Option<usize>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    top_k: Option<usize>,
    seed: Option<u64>,
    #[serde(default)]
    stop_token_ids: Vec<u32>,
    #[serde(default)]
    stream: bool,
    #[serde(default)]
    stream_options: StreamOptions,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

/// A request that can run.
struct Job {
    state: AppState,
    id: String,
    prompt_ids: Vec<u32>,
    sampling: Sampling,
    include_usage: bool,
}

pub(crate) async fn create(
    State(state): State<AppState>,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let request: Request = body.into()?;
    let is_stream = request.stream;
    let job = tokio::task::spawn_blocking(move || job(state, request)).await.map_err(crashed)??;
    if is_stream {
        return job.stream().await;
    }
    let body = tokio::task::spawn_blocking(move || job.whole()).await.map_err(crashed)??;
    Ok(Json(body).into_response())
}

/// A task that panicked; its text has gone to stderr.
pub(crate) fn crashed(error: tokio::task::JoinError) -> ApiError {
    ApiError::internal(format!("the request crashed: {error}"))
}

fn job(state: AppState, request: Request) -> Result<Job, ApiError> {
    if let Some(model) = request.model.filter(|model| **model != *state.model_name) {
        let message = format!("there is no model `{model}`; this server has `{}`", state.model_name);
        return Err(ApiError::not_found(message));
    }
    if request.messages.last().is_none_or(|last| last.role != Role::User) {
        return Err(ApiError::bad_request("the last of `messages` must be the user's".to_owned()));
    }
    if request.stream_options.include_usage && !request.stream {
        return Err(ApiError::bad_request("`stream_options` is only for `stream`: true".to_owned()));
    }
    let prompt_ids = state.actor.format.prompt_ids(&request.messages)?;
    let wanted = Wanted {
        temperature: request.temperature,
        top_p: request.top_p,
        top_k: request.top_k,
        seed: request.seed,
        max_tokens: request.max_tokens,
        stop_token_ids: request.stop_token_ids,
    };
    let mut sampling = wanted.sampling(1.0, &state.limits)?;
    sampling.stop_ids.extend(state.actor.format.end_of_turn_ids());
    Ok(Job {
        id: format!("chatcmpl-{:016x}", fresh_seed()),
        prompt_ids,
        sampling,
        include_usage: request.stream_options.include_usage,
        state,
    })
}

impl Job {
    /// Generates; `on_text` gets complete text and may end it.
    fn generate(&self, on_text: &mut dyn FnMut(String) -> bool) -> Result<Generated, ApiError> {
        let mut stream = self.state.actor.format.stream();
        let engine = &self.state.actor.engine;
        let generated = engine.generate(&self.prompt_ids, &self.sampling, &mut |token_id| {
            stream.push(token_id).is_none_or(&mut *on_text)
        })?;
        let rest = stream.finish();
        if !rest.is_empty() {
            on_text(rest);
        }
        Ok(generated)
    }

    fn whole(&self) -> Result<Value, ApiError> {
        let mut content = String::new();
        let generated = self.generate(&mut |text| {
            content.push_str(&text);
            true
        })?;
        let mut body = self.envelope("chat.completion");
        body["choices"] = json!([{
            "index": 0,
            "message": {"role": "assistant", "content": content},
            "finish_reason": finish_name(generated.finish),
        }]);
        body["usage"] = usage(&generated);
        Ok(body)
    }

    /// Answers with events as they come. What is wrong before the first token is still an error of its own.
    async fn stream(self) -> Result<Response, ApiError> {
        let (sender, mut receiver) = mpsc::channel::<Result<Event, ApiError>>(EVENTS_AHEAD);
        tokio::task::spawn_blocking(move || self.send_chunks(&sender));
        // The first event says whether there is a stream at all.
        let first = match receiver.recv().await {
            Some(first) => first?,
            None => return Err(ApiError::internal("the request crashed".to_owned())),
        };
        let (events, stream) = mpsc::channel::<Result<Event, Infallible>>(EVENTS_AHEAD);
        tokio::spawn(async move {
            let mut next = Some(Ok(first));
            while let Some(event) = next {
                let event = event
                    .unwrap_or_else(|error: ApiError| chunk_event(&json!({"error": {"message": error.message()}})));
                if events.send(Ok(event)).await.is_err() {
                    return;
                }
                next = receiver.recv().await;
            }
        });
        Ok(Sse::new(ReceiverStream::new(stream)).keep_alive(KeepAlive::default()).into_response())
    }

    fn send_chunks(&self, sender: &mpsc::Sender<Result<Event, ApiError>>) {
        let send = |delta: Value, finish: Value| {
            let mut body = self.envelope("chat.completion.chunk");
            body["choices"] = json!([{"index": 0, "delta": delta, "finish_reason": finish}]);
            sender.blocking_send(Ok(chunk_event(&body))).is_ok()
        };
        let mut is_first = true;
        let result = self.generate(&mut |text| {
            let mut delta = json!({"content": text});
            if std::mem::take(&mut is_first) {
                delta["role"] = json!("assistant");
            }
            send(delta, Value::Null)
        });
        let generated = match result {
            Ok(generated) => generated,
            Err(error) => {
                // The reader may be gone; then nobody needs to know.
                let _ = sender.blocking_send(Err(error));
                return;
            }
        };
        let mut goes_on = send(json!({}), json!(finish_name(generated.finish)));
        if goes_on && self.include_usage {
            let mut body = self.envelope("chat.completion.chunk");
            body["choices"] = json!([]);
            body["usage"] = usage(&generated);
            goes_on = sender.blocking_send(Ok(chunk_event(&body))).is_ok();
        }
        if goes_on {
            let _ = sender.blocking_send(Ok(Event::default().data("[DONE]")));
        }
    }

    fn envelope(&self, object: &str) -> Value {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let created = now.map_or(0, |elapsed| elapsed.as_secs());
        json!({"id": self.id, "object": object, "created": created, "model": &*self.state.model_name})
    }
}

fn chunk_event(body: &Value) -> Event {
    Event::default().data(body.to_string())
}

fn finish_name(finish: FinishReason) -> &'static str {
    match finish {
        FinishReason::Stop | FinishReason::Cancelled => "stop",
        FinishReason::Length | FinishReason::Context => "length",
    }
}

fn usage(generated: &Generated) -> Value {
    let completion_tokens = generated.token_ids.len();
    json!({
        "prompt_tokens": generated.prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": generated.prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": generated.cached_tokens},
    })
}
