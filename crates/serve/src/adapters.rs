//! `/v1/models`, and adapters that come and go while the server runs, with the routes of vLLM.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use serde_json::{Value, json};

use crate::agent::agent_cards;
use crate::edge::{JsonBody, PathName, Record, crashed};
use crate::{ApiError, AppState};

/// All models.
pub(crate) async fn list(State(state): State<AppState>) -> Json<Value> {
    let plain = state.models.as_ref().map(|models| models.cards()).unwrap_or_default();
    let all: Vec<Value> = plain.into_iter().chain(agent_cards(&state)).collect();
    Json(json!({"object": "list", "data": all}))
}

/// One of them. Names may have slashes.
pub(crate) async fn retrieve(State(state): State<AppState>, PathName(name): PathName) -> Result<Json<Value>, ApiError> {
    match agent_cards(&state).into_iter().find(|card| card["id"] == *name) {
        Some(card) => Ok(Json(card)),
        None => state.models()?.card(&name).map(Json),
    }
}

/// `lora_name`, `lora_path`, and `load_inplace` to replace one: its card.
pub(crate) async fn load(
    State(state): State<AppState>,
    Extension(record): Extension<Arc<Record>>,
    body: JsonBody,
) -> Result<Json<Value>, ApiError> {
    let (name, path, is_replacement) = body.read(&record, |mut body, ignored| {
        let name = body.required_text("lora_name")?;
        let path = body.required_text("lora_path")?;
        let is_replacement = body.flag("load_inplace", false)?;
        body.finish(ignored)?;
        Ok((name, path, is_replacement))
    })?;
    let loading = move || state.models()?.load_from(&name, &path, is_replacement);
    tokio::task::spawn_blocking(loading).await.map_err(crashed)?.map(Json)
}

/// `lora_name`: no request finds it any more.
pub(crate) async fn unload(
    State(state): State<AppState>,
    Extension(record): Extension<Arc<Record>>,
    body: JsonBody,
) -> Result<Json<Value>, ApiError> {
    let name = body.read(&record, |mut body, ignored| {
        let name = body.required_text("lora_name")?;
        body.finish(ignored)?;
        Ok(name)
    })?;
    state.models()?.unload(&name)?;
    Ok(Json(json!({"id": name, "object": "model", "deleted": true})))
}
