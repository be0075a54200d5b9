//! The routes.

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use codeact_sandbox::Protection;

use crate::error::ErrorKind;
use crate::openai::{completions, embeddings, text};
use crate::{ApiError, AppState, adapters, agent, edge, health, openapi, ui};

/// Which rung of protection holds, on every answer about code that runs: `root`, `user`, `weak` or `none`.
const SANDBOX: HeaderName = HeaderName::from_static("x-codeact-sandbox");

/// The whole service, apart from the socket.
pub fn app(state: AppState) -> Router {
    let rung = HeaderValue::from_static(state.sandbox.protection.rung.name());
    let agent =
        agent::routes().route("/v1/sandbox", get(sandbox)).layer(map_response(move |mut response: Response| {
            response.headers_mut().insert(SANDBOX, rung.clone());
            async move { response }
        }));
    Router::new()
        .route("/health", get(health::health))
        .route("/ready", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/openapi.json", get(openapi::document))
        .route("/v1/models", get(adapters::list))
        .route("/v1/models/{*name}", get(adapters::retrieve))
        .route("/v1/load_lora_adapter", post(adapters::load))
        .route("/v1/unload_lora_adapter", post(adapters::unload))
        .route("/v1/chat/completions", post(completions::chat))
        .route("/v1/completions", post(completions::text))
        .route("/v1/embeddings", post(embeddings::create))
        .route("/tokenize", post(text::tokenize))
        .route("/detokenize", post(text::detokenize))
        .route("/apply-template", post(text::apply_template))
        .merge(agent)
        .merge(ui::routes())
        .fallback(|| async { ApiError::not_found("there is no such path") })
        .method_not_allowed_fallback(|| async { ApiError::new(ErrorKind::BadMethod, "this path has another method") })
        .layer(from_fn_with_state(state.clone(), edge::guard::<AppState>))
        .with_state(state)
}

/// What stands between the code of sessions and this machine.
async fn sandbox(State(state): State<AppState>) -> Json<Protection> {
    Json(state.sandbox.protection.clone())
}
