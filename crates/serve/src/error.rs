//! The one error of the HTTP edge, and what it looks like on the wire.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use codeact_agent::AgentError;
use codeact_chat::FormatError;
use codeact_engine::EngineError;
use codeact_eval::EvalError;
use codeact_model::source::SourceError;
use codeact_sandbox::SandboxError;
use serde_json::{Value, json};

/// Tells OpenAI's clients whether to send the same again; they would otherwise do so after most failures.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// Seconds after which a refused request may come again.
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// Why a request gets no result. On the wire: `{"error": {"message", "type", "param", "code"}}`, as in OpenAI's API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    kind: ErrorKind,
    message: String,
    /// The field at fault.
    param: Option<String>,
}

/// What went wrong, as clients tell it apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ErrorKind {
    BadRequest,
    Unsupported,
    ContextLength,
    Unauthorised,
    Forbidden,
    NotFound,
    ModelNotFound,
    BadMethod,
    SlowBody,
    Unread,
    Conflict,
    BodyTooLarge,
    MediaType,
    Busy,
    Internal,
    Unavailable,
    Unhealthy,
    Deadline,
    /// What a session may take of the disk is used up.
    Storage,
    /// The model elsewhere does not answer.
    Endpoint,
}

impl ErrorKind {
    /// Status, type and code.
    fn wire(self) -> (StatusCode, &'static str, Option<&'static str>) {
        const INVALID: &str = "invalid_request_error";
        match self {
            ErrorKind::BadRequest => (StatusCode::BAD_REQUEST, INVALID, None),
            ErrorKind::Unsupported => (StatusCode::BAD_REQUEST, INVALID, Some("unsupported_parameter")),
            ErrorKind::ContextLength => (StatusCode::BAD_REQUEST, INVALID, Some("context_length_exceeded")),
            ErrorKind::Unauthorised => (StatusCode::UNAUTHORIZED, INVALID, Some("invalid_api_key")),
            ErrorKind::Forbidden => (StatusCode::FORBIDDEN, "permission_error", Some("origin_not_allowed")),
            ErrorKind::NotFound => (StatusCode::NOT_FOUND, "not_found_error", None),
            ErrorKind::ModelNotFound => (StatusCode::NOT_FOUND, INVALID, Some("model_not_found")),
            ErrorKind::BadMethod => (StatusCode::METHOD_NOT_ALLOWED, INVALID, None),
            ErrorKind::SlowBody => (StatusCode::REQUEST_TIMEOUT, INVALID, Some("body_too_slow")),
            ErrorKind::Unread => (StatusCode::REQUEST_TIMEOUT, INVALID, Some("answer_not_read")),
            ErrorKind::Conflict => (StatusCode::CONFLICT, "conflict_error", None),
            ErrorKind::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, INVALID, Some("body_too_large")),
            ErrorKind::MediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, INVALID, None),
            ErrorKind::Busy => (StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", Some("rate_limit_exceeded")),
            ErrorKind::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "server_error", None),
            ErrorKind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "server_error", Some("shutting_down")),
            ErrorKind::Unhealthy => (StatusCode::SERVICE_UNAVAILABLE, "server_error", Some("model_not_responding")),
            ErrorKind::Storage => (StatusCode::INSUFFICIENT_STORAGE, "storage_error", Some("storage_full")),
            ErrorKind::Endpoint => (StatusCode::BAD_GATEWAY, "server_error", Some("endpoint_failed")),
            ErrorKind::Deadline => (StatusCode::GATEWAY_TIMEOUT, "server_error", Some("deadline_exceeded")),
        }
    }
}

impl ApiError {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> ApiError {
        ApiError { kind, message: message.into(), param: None }
    }

    /// The same, blamed on a field.
    pub(crate) fn of(self, param: &str) -> ApiError {
        ApiError { param: Some(param.to_owned()), ..self }
    }

    /// The request is wrong, and how: 400.
    pub fn bad_request(message: impl Into<String>) -> ApiError {
        ApiError::new(ErrorKind::BadRequest, message)
    }

    /// One field is wrong, and how: 400.
    pub fn invalid(param: &str, message: impl Into<String>) -> ApiError {
        ApiError::bad_request(message).of(param)
    }

    /// One field asks for what this server does not do: 400.
    pub fn unsupported(param: &str, message: impl Into<String>) -> ApiError {
        ApiError::new(ErrorKind::Unsupported, message).of(param)
    }

    /// There is no such thing: 404.
    pub fn not_found(message: impl Into<String>) -> ApiError {
        ApiError::new(ErrorKind::NotFound, message)
    }

    /// The thing is in use: 409.
    pub fn conflict(message: impl Into<String>) -> ApiError {
        ApiError::new(ErrorKind::Conflict, message)
    }

    /// Too much at once: 429.
    pub fn busy(message: impl Into<String>) -> ApiError {
        ApiError::new(ErrorKind::Busy, message)
    }

    /// There is no room for it on the disk: 507.
    pub fn storage(message: impl Into<String>) -> ApiError {
        ApiError::new(ErrorKind::Storage, message)
    }

    /// It is not the caller's fault: 500.
    pub fn internal(message: impl Into<String>) -> ApiError {
        ApiError::new(ErrorKind::Internal, message)
    }

    /// What is wrong.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The object that clients read.
    pub(crate) fn body(&self) -> Value {
        let (_, kind, code) = self.kind.wire();
        json!({"error": {"message": self.message, "type": kind, "param": self.param, "code": code}})
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, _, _) = self.kind.wire();
        let mut response = (status, Json(self.body())).into_response();
        let headers = response.headers_mut();
        match self.kind {
            ErrorKind::Busy | ErrorKind::Unavailable => {
                headers.insert(header::RETRY_AFTER, RETRY_SECONDS);
            }
            ErrorKind::Unauthorised => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            // It would take as long again, or fail as before.
            ErrorKind::Deadline | ErrorKind::Conflict | ErrorKind::SlowBody | ErrorKind::Storage => {
                headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
            }
            _ => {}
        }
        response
    }
}

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> ApiError {
        let message = error.to_string();
        let kind = match error {
            EngineError::Busy { .. } => ErrorKind::Busy,
            EngineError::PromptTooLong { .. } => ErrorKind::ContextLength,
            EngineError::PromptEmpty | EngineError::TokenUnknown { .. } | EngineError::Sampling(_) => {
                ErrorKind::BadRequest
            }
            EngineError::Draining => ErrorKind::Unavailable,
            EngineError::Limits { .. }
            | EngineError::Model { .. }
            | EngineError::NotFinite { .. }
            | EngineError::Unresponsive { .. }
            | EngineError::Stopped { .. } => ErrorKind::Internal,
        };
        ApiError::new(kind, message)
    }
}

impl From<FormatError> for ApiError {
    /// A loaded format can only refuse the messages.
    fn from(error: FormatError) -> ApiError {
        ApiError::bad_request(error.to_string())
    }
}

impl From<SandboxError> for ApiError {
    fn from(error: SandboxError) -> ApiError {
        match error {
            SandboxError::File(error) => error.into(),
            error @ SandboxError::Unsupported { .. } => ApiError::conflict(error.to_string()),
            error => ApiError::internal(error.to_string()),
        }
    }
}

impl From<AgentError> for ApiError {
    fn from(error: AgentError) -> ApiError {
        match error {
            AgentError::Engine(error) => error.into(),
            AgentError::Format(error) => error.into(),
            AgentError::Sandbox(error) => error.into(),
            AgentError::Endpoint(error) if error.is_context() => {
                ApiError::new(ErrorKind::ContextLength, error.to_string())
            }
            AgentError::Endpoint(error) => ApiError::new(ErrorKind::Endpoint, error.to_string()),
            error @ AgentError::BadMark { .. } => ApiError::conflict(error.to_string()),
            other => ApiError::internal(other.to_string()),
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
