//! The one error of the HTTP edge, and what it looks like on the wire.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use codeact_agent::AgentError;
use codeact_chat::FormatError;
use codeact_engine::EngineError;
use codeact_eval::EvalError;
use codeact_model::source::SourceError;
use codeact_sandbox::SandboxError;
use serde_json::json;

/// Why a request gets no result. On the wire: `{"error": {"message", "type"}}` as in OpenAI's API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApiError {
    /// The request is wrong, and how: 400.
    BadRequest(String),
    /// There is no such thing: 404.
    NotFound(String),
    /// There is such a thing, but not with this method: 405.
    BadMethod(String),
    /// The thing is in use: 409.
    Conflict(String),
    /// The body is not said to be JSON: 415.
    MediaType(String),
    /// Too much at once: 429.
    Busy(String),
    /// It is not the caller's fault: 500.
    Internal(String),
}

impl ApiError {
    /// What is wrong.
    pub fn message(&self) -> &str {
        match self {
            ApiError::BadRequest(message)
            | ApiError::NotFound(message)
            | ApiError::BadMethod(message)
            | ApiError::Conflict(message)
            | ApiError::MediaType(message)
            | ApiError::Busy(message)
            | ApiError::Internal(message) => message,
        }
    }

    fn status(&self) -> (StatusCode, &'static str) {
        match self {
            ApiError::BadRequest(_) => (StatusCode::BAD_REQUEST, "invalid_request_error"),
            ApiError::NotFound(_) => (StatusCode::NOT_FOUND, "not_found_error"),
            ApiError::BadMethod(_) => (StatusCode::METHOD_NOT_ALLOWED, "invalid_request_error"),
            ApiError::Conflict(_) => (StatusCode::CONFLICT, "conflict_error"),
            ApiError::MediaType(_) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "invalid_request_error"),
            ApiError::Busy(_) => (StatusCode::TOO_MANY_REQUESTS, "rate_limit_error"),
            ApiError::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal_error"),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, kind) = self.status();
        let body = Json(json!({"error": {"message": self.message(), "type": kind}}));
        let mut response = (status, body).into_response();
        if status == StatusCode::TOO_MANY_REQUESTS {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> ApiError {
        let message = error.to_string();
        match error {
            EngineError::Busy { .. } => ApiError::Busy(message),
            EngineError::PromptEmpty
            | EngineError::PromptTooLong { .. }
            | EngineError::TokenUnknown { .. }
            | EngineError::Sampling { .. }
            | EngineError::Constraint(_) => ApiError::BadRequest(message),
            EngineError::Model { .. } | EngineError::NotFinite { .. } | EngineError::Stopped { .. } => {
                ApiError::Internal(message)
            }
        }
    }
}

impl From<FormatError> for ApiError {
    /// A loaded format can only refuse the messages.
    fn from(error: FormatError) -> ApiError {
        ApiError::BadRequest(error.to_string())
    }
}

impl From<SandboxError> for ApiError {
    fn from(error: SandboxError) -> ApiError {
        ApiError::Internal(error.to_string())
    }
}

impl From<AgentError> for ApiError {
    fn from(error: AgentError) -> ApiError {
        match error {
            AgentError::Engine(error) => error.into(),
            AgentError::Format(error) => error.into(),
            other => ApiError::Internal(other.to_string()),
        }
    }
}

/// Whether a program could not start because of what it was asked for, rather than because of this machine.
pub fn is_bad_input(error: &anyhow::Error) -> bool {
    let source = error.downcast_ref().map(SourceError::is_bad_input);
    let sandbox = || error.downcast_ref().map(SandboxError::is_bad_input);
    let loading = || error.downcast_ref().map(EvalError::is_bad_input);
    source.or_else(sandbox).or_else(loading).unwrap_or(true)
}
