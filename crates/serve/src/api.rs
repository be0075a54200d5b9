//! The routes.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use codeact_sandbox::Protection;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{ApiError, AppState, completions, turns};

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
        .fallback(|| async { ApiError::NotFound("there is no such path".to_owned()) })
        .method_not_allowed_fallback(|| async { ApiError::BadMethod("this path has another method".to_owned()) })
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

/// The body as `T`; no body counts as `{}`.
///
/// # Errors
/// When it is not called JSON, or is not such JSON: the message names the field.
pub(crate) fn parse<T: DeserializeOwned>(headers: &HeaderMap, body: &Bytes) -> Result<T, ApiError> {
    // Any page in a browser may send other types here without asking; this one it may not.
    if !body.is_empty() && !is_json(headers) {
        let message = "the body must have `Content-Type: application/json`";
        return Err(ApiError::MediaType(message.to_owned()));
    }
    let json: &[u8] = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(json).map_err(|error| ApiError::BadRequest(format!("the body is not acceptable: {error}")))
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = value.split(';').next().unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("application/json")
}
