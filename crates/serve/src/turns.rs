//! `/v1/agent/sessions`: conversations in which the model runs Python, each turn a stream of the agent's events.

use std::convert::Infallible;
use std::sync::{Arc, TryLockError};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use codeact_agent::Agent;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::edge::{JsonBody, PathName};
use crate::openai::completions::crashed;
use crate::sessions::AgentSession;
use crate::state::Wanted;
use crate::{ApiError, AppState};

/// Events that may wait for a slow reader before the turn waits too.
const EVENTS_AHEAD: usize = 64;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SessionRequest {
    model: Option<String>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    top_k: Option<usize>,
    seed: Option<u64>,
    max_tokens: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TurnRequest {
    content: String,
}

/// Starts a Python of its own: 201 with id, wording and protection.
pub(crate) async fn create_session(
    State(state): State<AppState>,
    body: JsonBody,
) -> Result<impl IntoResponse, ApiError> {
    let request: SessionRequest = body.into()?;
    let target = state.models.find(request.model.as_deref())?;
    let wanted = Wanted {
        temperature: request.temperature,
        top_p: request.top_p,
        top_k: request.top_k,
        seed: request.seed,
        max_tokens: request.max_tokens,
    };
    let sampling = wanted.sampling(target.vocab_size, &state.limits)?;
    let start = move || -> Result<Value, ApiError> {
        let place = state.sessions.reserve()?;
        let session = (state.make_interpreter)()?;
        let protection = session.protection().clone();
        let profile_name = target.actor.profile.name();
        let agent = Agent::new((state.make_model)(&target.actor, sampling), session, target.actor.options());
        Ok(json!({"id": place.fill(agent), "profile": profile_name, "protection": protection}))
    };
    let created = tokio::task::spawn_blocking(start).await.map_err(crashed)??;
    Ok((StatusCode::CREATED, Json(created)))
}

/// Ends a session, and the turn that may run in it.
pub(crate) async fn delete_session(
    State(state): State<AppState>,
    PathName(id): PathName,
) -> Result<StatusCode, ApiError> {
    let session = state.sessions.remove(&id)?;
    session.interrupter.interrupt();
    // Waits for Python to end, unless a turn still holds the session; then that does.
    tokio::task::spawn_blocking(move || drop(session)).await.map_err(crashed)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Runs one turn: events with ids from 0, each one JSON object, the last of them `answer`, `stopped`, `interrupted`
/// or `error`. A reader that leaves interrupts the turn.
pub(crate) async fn run_turn(
    State(state): State<AppState>,
    PathName(id): PathName,
    body: JsonBody,
) -> Result<impl IntoResponse, ApiError> {
    let request: TurnRequest = body.into()?;
    let session = state.sessions.get(&id)?;
    let (started, has_started) = tokio::sync::oneshot::channel();
    let (sender, receiver) = mpsc::channel(EVENTS_AHEAD);
    tokio::task::spawn_blocking(move || {
        let mut agent = match session.agent.try_lock() {
            Ok(agent) => agent,
            Err(error) => {
                let _ = started.send(Err(refusal(&error)));
                return;
            }
        };
        // Nobody waits any more when the reader has left; then the first event finds out.
        let _ = started.send(Ok(()));
        act(&session, &mut agent, &request.content, &sender);
    });
    has_started.await.map_err(|_| ApiError::internal("the turn crashed".to_owned()))??;
    Ok(Sse::new(ReceiverStream::new(receiver)).keep_alive(KeepAlive::default()))
}

fn refusal<T>(error: &TryLockError<T>) -> ApiError {
    match error {
        TryLockError::WouldBlock => ApiError::conflict("a turn is running in this session".to_owned()),
        TryLockError::Poisoned(_) => {
            ApiError::internal("an earlier turn of this session crashed; delete it and start another".to_owned())
        }
    }
}

fn act(
    session: &Arc<AgentSession>,
    agent: &mut Agent,
    content: &str,
    sender: &mpsc::Sender<Result<Event, Infallible>>,
) {
    let mut event_index = 0u64;
    let mut send = |body: String| {
        let event = Event::default().id(event_index.to_string()).data(body);
        event_index += 1;
        if sender.blocking_send(Ok(event)).is_err() {
            session.interrupter.interrupt();
        }
    };
    // An error is an event too.
    let _ = agent.run_turn(content, &mut |event| {
        send(serde_json::to_string(&event).expect("an event has only text keys and finite numbers"));
    });
    // A turn may take long; its session is idle only from now on.
    session.touch();
}
