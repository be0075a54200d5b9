//! `GET /openapi.json`: all routes, as OpenAPI 3.1 describes them.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

/// Written by hand; tests hold it to the routes and to what they accept.
const DOCUMENT: &str = include_str!("../openapi.json");

pub(crate) async fn document() -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], DOCUMENT).into_response()
}
