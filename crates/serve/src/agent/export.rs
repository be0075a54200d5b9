//! `/v1/agent/sessions/{id}/transcript`: a session as a training example, a notebook, or a text to read.

use std::collections::VecDeque;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use codeact_agent::{Event, transcript};

use crate::agent::files::disposition;
use crate::agent::session::AgentSession;
use crate::agent::{At, Caller, Query, blocking};
use crate::{ApiError, AppState};

const FORMATS: [&str; 3] = ["jsonl", "ipynb", "markdown"];
/// Bytes of events that are put together into one text.
const EVENTS_BYTES_MAX: u64 = 256 << 20;

pub(crate) async fn transcript(
    State(state): State<AppState>,
    caller: Caller,
    At(id): At<String>,
    mut query: Query,
) -> Result<Response, ApiError> {
    let format = query.choice("format", &FORMATS)?.unwrap_or("jsonl");
    query.finish()?;
    blocking(move || {
        let session = state.agents.find(&id, &caller)?;
        let title = session.state().record.title.clone().unwrap_or_else(|| format!("Session {id}"));
        let (kind, ending, text) = match format {
            "jsonl" => ("application/jsonl", "jsonl", training_example(&session)?),
            "ipynb" => ("application/x-ipynb+json", "ipynb", transcript::notebook(&title, &events(&session)?)),
            _ => ("text/markdown; charset=utf-8", "md", transcript::markdown(&title, &events(&session)?)),
        };
        let name = disposition(&format!("session-{id}.{ending}"));
        let nosniff = (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned());
        let headers = [(header::CONTENT_TYPE, kind.to_owned()), (header::CONTENT_DISPOSITION, name), nosniff];
        Ok((headers, text).into_response())
    })
    .await
}

/// The conversation up to its last turn that is over.
fn training_example(session: &AgentSession) -> Result<String, ApiError> {
    let unread = |error| ApiError::internal(format!("the conversation cannot be read: {error}"));
    let conversation = session.folder.conversation().map_err(unread)?;
    transcript::jsonl(&session.id, &conversation.messages)
        .map_err(|error| ApiError::conflict(format!("this session is no training example: {error}")))
}

/// The events of the turns that still hold; those of undone turns are left out.
fn events(session: &AgentSession) -> Result<Vec<Event>, ApiError> {
    let log = session.log()?;
    let unread = |error| ApiError::internal(format!("the events cannot be read: {error}"));
    let written = log.written();
    if written.bytes > EVENTS_BYTES_MAX {
        let message = format!("the events of this session have more than {EVENTS_BYTES_MAX} bytes; ask for `jsonl`");
        return Err(ApiError::conflict(message));
    }
    let mut turns: VecDeque<(u64, u64)> =
        session.state().record.turns.iter().map(|turn| (turn.first_event, turn.last_event)).collect();
    let mut reader = log.reader(0).map_err(unread)?;
    let mut events = Vec::new();
    while let Some(&(first, last)) = turns.front() {
        let lines = reader.read(written.bytes).map_err(unread)?;
        let Some(newest) = lines.last().map(|line| line.id) else { break };
        // A read takes whole events, in order, so none of this turn comes before the ones it begins with.
        let mut bounds = (first, last);
        for line in lines {
            while line.id > bounds.1 {
                turns.pop_front();
                let Some(&next) = turns.front() else { return Ok(events) };
                bounds = next;
            }
            // What is no event of the agent, such as how Python came back, is left out.
            if line.id >= bounds.0
                && let Ok(event) = serde_json::from_str(&line.text)
            {
                events.push(event);
            }
        }
        if newest >= bounds.1 {
            turns.pop_front();
        }
    }
    Ok(events)
}
