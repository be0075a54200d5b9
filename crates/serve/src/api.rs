//! The routes.

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::Response;
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use codeact_sandbox::Protection;
use serde_json::{Value, json};

use crate::error::ErrorKind;
use crate::{ApiError, AppState, completions, edge, turns};

/// Which rung of protection holds, on every answer about code that runs: `root`, `user`, `weak` or `none`.
const SANDBOX: HeaderName = HeaderName::from_static("x-codeact-sandbox");

/// The whole service, apart from the socket.
pub fn app(state: AppState) -> Router {
    let rung = HeaderValue::from_static(state.sandbox.protection.rung.name());
    let agent = Router::new()
        .route("/v1/sandbox", get(sandbox))
        .route("/v1/agent/sessions", post(turns::create_session))
        .route("/v1/agent/sessions/{id}", delete(turns::delete_session))
        .route("/v1/agent/sessions/{id}/turns", post(turns::run_turn))
        .layer(map_response(move |mut response: Response| {
            response.headers_mut().insert(SANDBOX, rung.clone());
            async move { response }
        }));
    Router::new()
        .route("/health", get(health))
        .route("/v1/models", get(models))
        .route("/v1/chat/completions", post(completions::create))
        .merge(agent)
        .fallback(|| async { ApiError::not_found("there is no such path") })
        .method_not_allowed_fallback(|| async { ApiError::new(ErrorKind::BadMethod, "this path has another method") })
        .layer(from_fn_with_state(state.clone(), edge::guard))
        .with_state(state)
}

async fn health(State(state): State<AppState>) -> Result<Json<Value>, ApiError> {
    state.actor.engine.health()?;
    Ok(Json(json!({"status": "ok"})))
}

/// What stands between the code of sessions and this machine.
async fn sandbox(State(state): State<AppState>) -> Json<Protection> {
    Json(state.sandbox.protection.clone())
}

async fn models(State(state): State<AppState>) -> Json<Value> {
    let model = json!({
        "id": &*state.model_name,
        "object": "model",
        "created": state.created,
        "owned_by": "codeact",
        "max_model_len": state.actor.engine.context_tokens_max(),
    });
    Json(json!({"object": "list", "data": [model]}))
}
