//! `/v1/agent/sessions`: sessions, their turns and their events.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use codeact_agent::{Agent, Decision};
use serde_json::{Value, json};

use crate::agent::record::{Conversation, SessionRecord};
use crate::agent::session::AgentSession;
use crate::agent::stream::{Wanted, stream};
use crate::agent::{At, Caller, Query, approval, blocking, change, execute, export, files, log, request, start, turn};
use crate::edge::JsonBody;
use crate::fields::{Fields, Ignored};
use crate::{ApiError, AppState};

/// A message, or what is said of code, in bytes.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// All routes of the agent but that of OpenAI's API.
pub(crate) fn routes() -> Router<AppState> {
    Router::new()
        .route("/v1/agent/sessions", post(create).get(list))
        .route("/v1/agent/sessions/{id}", get(show).patch(update).delete(delete))
        .route("/v1/agent/sessions/{id}/messages", post(message))
        .route("/v1/agent/sessions/{id}/events", get(events))
        .route("/v1/agent/sessions/{id}/interrupt", post(interrupt))
        .route("/v1/agent/sessions/{id}/approvals/{approval}", post(decide))
        .route("/v1/agent/sessions/{id}/undo", post(undo))
        .route("/v1/agent/sessions/{id}/branch", post(branch))
        .route("/v1/agent/sessions/{id}/files", get(files::list))
        .route("/v1/agent/sessions/{id}/files/{*path}", get(files::read).put(files::write).delete(files::remove))
        .route("/v1/agent/sessions/{id}/transcript", get(export::transcript))
        .route("/v1/agent/skills", get(skills))
        .route("/v1/agent/tools", get(tools))
        .route("/execute", post(execute::execute))
}

/// Reads a body to its end with `read`; unknown fields are refused, or listed where the server is lenient.
fn fields<T>(
    state: &AppState,
    body: JsonBody,
    read: impl FnOnce(Fields, &mut Ignored) -> Result<T, ApiError>,
) -> Result<T, ApiError> {
    let mut ignored = Ignored { is_lenient: state.edge.settings.is_lenient, names: Vec::new() };
    read(Fields::new(body.0, "")?, &mut ignored)
}

async fn create(State(state): State<AppState>, caller: Caller, body: JsonBody) -> Result<impl IntoResponse, ApiError> {
    blocking(move || {
        let record = fields(&state, body, |body, ignored| request::new_session(&state, &caller, body, ignored))?;
        let counted = state.agents.stored.take(&caller)?;
        let place = state.agents.pythons.reserve()?;
        let unmade = |error| ApiError::internal(format!("the session cannot be written down: {error}"));
        let folder = state.agents.store.create(&record.id).map_err(unmade)?;
        let made = || -> Result<Arc<AgentSession>, ApiError> {
            let mut live = start::begin(&state, &record, &folder, place)?;
            let protection = json!(live.agent.interpreter().protection());
            let record = SessionRecord { protection, ..record };
            let log = log::EventLog::create(&folder.events()).map_err(unmade)?;
            folder.save(&record, Some(&conversation(&live.agent))).map_err(unmade)?;
            Ok(AgentSession::new(folder.clone(), record, Some(live), Some(log), counted))
        };
        let session = made().inspect_err(|_| folder.remove())?;
        let object = session.object(true)?;
        state.agents.add(&session);
        Ok((StatusCode::CREATED, Json(object)))
    })
    .await
}

fn conversation(agent: &Agent) -> Conversation {
    Conversation { messages: agent.messages().to_vec(), now: agent.mark() }
}

async fn list(State(state): State<AppState>, caller: Caller, query: Query) -> Result<Json<Value>, ApiError> {
    query.finish()?;
    blocking(move || {
        let sessions = state.agents.of(&caller);
        let objects = sessions.iter().map(|session| session.object(false)).collect::<Result<Vec<_>, _>>()?;
        Ok(Json(json!({"object": "list", "data": objects})))
    })
    .await
}

async fn show(State(state): State<AppState>, caller: Caller, At(id): At<String>) -> Result<Json<Value>, ApiError> {
    blocking(move || state.agents.find(&id, &caller)?.object(true).map(Json)).await
}

async fn update(
    State(state): State<AppState>,
    caller: Caller,
    At(id): At<String>,
    body: JsonBody,
) -> Result<Json<Value>, ApiError> {
    blocking(move || {
        let session = state.agents.find(&id, &caller)?;
        let wanted = fields(&state, body, request::update)?;
        change::update(&state, &session, wanted).map(Json)
    })
    .await
}

async fn delete(State(state): State<AppState>, caller: Caller, At(id): At<String>) -> Result<StatusCode, ApiError> {
    blocking(move || state.agents.delete(&id, &caller)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Begins a turn. It goes on whether anybody listens or not.
async fn message(
    State(state): State<AppState>,
    caller: Caller,
    At(id): At<String>,
    headers: HeaderMap,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let shared = state.clone();
    let (session, accepted) = blocking(move || {
        let session = shared.agents.find(&id, &caller)?;
        let content = fields(&shared, body, |mut body, ignored| {
            let content = body.required_text("content")?;
            body.finish(ignored)?;
            Ok(content)
        })?;
        if content.trim().is_empty() || content.len() > TEXT_BYTES_MAX {
            let message = format!("`content` must say something, in at most {TEXT_BYTES_MAX} bytes");
            return Err(ApiError::invalid("content", message));
        }
        let accepted = turn::begin(&shared, &session, content)?;
        Ok((session, accepted))
    })
    .await?;
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    if accept.contains("text/event-stream") {
        let wanted = Wanted { after: accepted.event - 1, is_following: true, turn_only: true };
        return Ok(stream(&state, blocking(move || session.log()).await?, wanted));
    }
    let begun = json!({"turn": accepted.turn, "event": accepted.event});
    Ok((StatusCode::ACCEPTED, Json(begun)).into_response())
}

async fn events(
    State(state): State<AppState>,
    caller: Caller,
    At(id): At<String>,
    headers: HeaderMap,
    mut query: Query,
) -> Result<Response, ApiError> {
    let after = query.integer("after")?;
    let is_following = query.flag("follow", true)?;
    query.finish()?;
    let seen = headers.get("last-event-id").map(|id| id.to_str().ok().and_then(|id| id.trim().parse::<u64>().ok()));
    let seen = match seen {
        Some(None) => return Err(ApiError::invalid("last-event-id", "`Last-Event-ID` must be the id of an event")),
        Some(seen) => seen,
        None => None,
    };
    let shared = state.clone();
    let log = blocking(move || shared.agents.find(&id, &caller)?.log()).await?;
    // The header is newer than the address, which a browser repeats when it comes again.
    let wanted = Wanted { after: seen.or(after).unwrap_or(0), is_following, turn_only: false };
    Ok(stream(&state, log, wanted))
}

async fn interrupt(
    State(state): State<AppState>,
    caller: Caller,
    At(id): At<String>,
    body: JsonBody,
) -> Result<Json<Value>, ApiError> {
    blocking(move || {
        let session = state.agents.find(&id, &caller)?;
        fields(&state, body, |body, ignored| body.finish(ignored))?;
        Ok(Json(json!({"interrupted": session.interrupt()})))
    })
    .await
}

async fn decide(
    State(state): State<AppState>,
    caller: Caller,
    At((id, approval)): At<(String, String)>,
    body: JsonBody,
) -> Result<Json<Value>, ApiError> {
    blocking(move || {
        let session = state.agents.find(&id, &caller)?;
        let (decision, name, is_for_all) = fields(&state, body, decision)?;
        approval::answer(&session, &approval, decision, is_for_all)?;
        Ok(Json(json!({"decision": name})))
    })
    .await
}

fn decision(mut body: Fields, ignored: &mut Ignored) -> Result<(Decision, &'static str, bool), ApiError> {
    let said = body.required_text("decision")?;
    let reason = body.text("reason")?;
    let code = body.text("code")?;
    let is_for_all = body.flag("always", false)?;
    if [&reason, &code].into_iter().flatten().any(|text| text.len() > TEXT_BYTES_MAX) {
        return Err(ApiError::bad_request(format!("`reason` and `code` may have {TEXT_BYTES_MAX} bytes")));
    }
    let decided = match (said.as_str(), reason, code) {
        ("approve", None, None) => (Decision::Run, "approved", is_for_all),
        ("approve", None, Some(code)) => (Decision::RunInstead(code), "edited", is_for_all),
        ("approve", Some(_), _) => return Err(ApiError::invalid("reason", "`reason` is only for `deny`")),
        ("deny", _, Some(_)) => return Err(ApiError::invalid("code", "`code` is only for `approve`")),
        ("deny", _, None) if is_for_all => return Err(ApiError::invalid("always", "`always` is only for `approve`")),
        ("deny", reason, None) => (Decision::Deny(reason.unwrap_or_default()), "denied", false),
        _ => return body.refuse("decision", &Value::String(said), "`approve` or `deny`"),
    };
    body.finish(ignored)?;
    Ok(decided)
}

async fn undo(
    State(state): State<AppState>,
    caller: Caller,
    At(id): At<String>,
    body: JsonBody,
) -> Result<Json<Value>, ApiError> {
    blocking(move || {
        let session = state.agents.find(&id, &caller)?;
        let count = fields(&state, body, |mut body, ignored| {
            let count = body.count("turns", 1, usize::MAX >> 1)?.unwrap_or(1);
            body.finish(ignored)?;
            Ok(count)
        })?;
        change::undo(&state, &session, count).map(Json)
    })
    .await
}

async fn branch(
    State(state): State<AppState>,
    caller: Caller,
    At(id): At<String>,
    body: JsonBody,
) -> Result<impl IntoResponse, ApiError> {
    blocking(move || {
        let session = state.agents.find(&id, &caller)?;
        let turn = fields(&state, body, |mut body, ignored| {
            let turn = body.count("turn", 0, usize::MAX >> 1)?.ok_or_else(|| body.missing("turn"))?;
            body.finish(ignored)?;
            Ok(turn)
        })?;
        Ok((StatusCode::CREATED, Json(change::branch(&state, &session, turn)?)))
    })
    .await
}

async fn skills(State(state): State<AppState>, query: Query) -> Result<Json<Value>, ApiError> {
    query.finish()?;
    blocking(move || {
        let (skills, _) = state.agents.skills()?.skills().map_err(|error| ApiError::internal(error.to_string()))?;
        let shown = skills.iter().map(|skill| {
            json!({"name": skill.name, "signature": skill.signature, "doc": skill.doc, "version": skill.version,
                   "uses": skill.uses, "successes": skill.successes})
        });
        Ok(Json(json!({"object": "list", "data": shown.collect::<Vec<_>>()})))
    })
    .await
}

async fn tools(State(state): State<AppState>, query: Query) -> Result<Json<Value>, ApiError> {
    query.finish()?;
    let tools = state.tools();
    let shown = tools.iter().map(|tool| json!({"name": tool.name, "signature": tool.signature, "doc": tool.doc}));
    Ok(Json(json!({"object": "list", "data": shown.collect::<Vec<_>>()})))
}
