//! Bodies that are not called JSON: files, and what clients of the original send.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, header};
use serde_json::Value;

use crate::ApiError;
use crate::edge::{Memory, Taken, json};

/// All of a body, of bounded size and arriving in bounded time, and the memory that it takes, to be held as long.
///
/// # Errors
/// When it is larger, takes too long, or there is no memory for it.
pub(crate) async fn read_body(body: Body, bytes_max: usize, memory: &Memory) -> Result<(Bytes, Taken), ApiError> {
    json::read_in_time(body, bytes_max, memory).await
}

/// A body as JSON, whatever it is called.
///
/// # Errors
/// When it is something else.
pub(crate) fn parse_json(body: &Bytes) -> Result<Value, ApiError> {
    let called = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    json::parse(&HeaderMap::from_iter([called]), body)
}
