//! `/v1/agent/sessions/{id}/files`: the workspace of a session, from outside.

use std::sync::{Arc, RwLockWriteGuard, TryLockError};

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use codeact_sandbox::{FileEntry, FileError, Files};
use serde_json::{Value, json};

use crate::agent::session::AgentSession;
use crate::agent::start::Live;
use crate::agent::turn::full;
use crate::agent::{At, Caller, Query, blocking};
use crate::edge::read_body;
use crate::error::ErrorKind;
use crate::{ApiError, AppState};

/// Entries of one listing.
const ENTRIES_MAX: usize = 2000;

/// What is in a folder: `?path=DIR`, without it the workspace itself.
pub(crate) async fn list(
    State(state): State<AppState>,
    caller: Caller,
    At(id): At<String>,
    mut query: Query,
) -> Result<Json<Value>, ApiError> {
    let path = query.text("path")?.unwrap_or_default();
    query.finish()?;
    blocking(move || {
        let session = state.agents.find(&id, &caller)?;
        let listing = look(&state, &session, |files| files.list(&path, ENTRIES_MAX))?;
        let entries: Vec<Value> = listing.entries.iter().map(entry).collect();
        Ok(Json(json!({"path": path, "entries": entries, "is_cut": listing.is_cut})))
    })
    .await
}

/// The content of a file, as a download.
pub(crate) async fn read(
    State(state): State<AppState>,
    caller: Caller,
    At((id, path)): At<(String, String)>,
) -> Result<Response, ApiError> {
    let name = HeaderValue::from_str(&disposition(&path)).map_err(|_| ApiError::bad_request("this is no file name"))?;
    let content = blocking(move || {
        let session = state.agents.find(&id, &caller)?;
        let bytes_max = state.agents.settings.file_bytes_max;
        look(&state, &session, |files| files.read(&path, bytes_max))
    })
    .await?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
        (header::CONTENT_DISPOSITION, name),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, content).into_response())
}

/// The body becomes the content of a file; it is part of what is run again after a restart.
pub(crate) async fn write(
    State(state): State<AppState>,
    caller: Caller,
    At((id, path)): At<(String, String)>,
    request: Request,
) -> Result<impl IntoResponse, ApiError> {
    // Who it is for, before megabytes of it are taken in.
    let session = state.agents.find(&id, &caller)?;
    let bytes_max = state.agents.settings.file_bytes_max;
    let most = usize::try_from(bytes_max).unwrap_or(usize::MAX);
    let (content, taken) = read_body(request.into_body(), most, &state.edge.memory).await?;
    blocking(move || {
        let (used, most) = (session.folder.bytes(), state.agents.settings.session_bytes_max);
        if used.saturating_add(content.len() as u64) > most {
            return Err(full(used, most));
        }
        let bytes =
            change(&state, &session, |live| Ok(live.agent.interpreter().upload(&path, &mut &*content, bytes_max)?))?;
        drop(taken);
        Ok((StatusCode::CREATED, Json(json!({"path": path, "bytes": bytes}))))
    })
    .await
}

/// Removes a file, or a folder with all that is in it.
pub(crate) async fn remove(
    State(state): State<AppState>,
    caller: Caller,
    At((id, path)): At<(String, String)>,
) -> Result<StatusCode, ApiError> {
    blocking(move || {
        let session = state.agents.find(&id, &caller)?;
        change(&state, &session, |live| Ok(live.agent.interpreter().remove(&path)?))?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

/// Looks at the files: also while a turn runs, unless branches share the workspace.
fn look<T>(
    state: &AppState,
    session: &Arc<AgentSession>,
    look: impl FnOnce(&Files) -> Result<T, FileError>,
) -> Result<T, ApiError> {
    let files = session.state().files()?;
    match files {
        Some(files) => Ok(look(&files)?),
        None => change(state, session, |live| Ok(look(files_of(live)?)?)),
    }
}

/// Does something to the files while nothing runs that shares them.
fn change<T>(
    state: &AppState,
    session: &Arc<AgentSession>,
    change: impl FnOnce(&mut Live) -> Result<T, ApiError>,
) -> Result<T, ApiError> {
    let mut exclusive = session.exclusive()?;
    let live = exclusive.live(state)?;
    let family = Arc::clone(&live.family);
    let _alone = alone(&family)?;
    // The workspace is that of the branch which ran last.
    live.agent.interpreter().attend()?;
    change(live)
}

fn alone(family: &std::sync::RwLock<()>) -> Result<RwLockWriteGuard<'_, ()>, ApiError> {
    match family.try_write() {
        Ok(guard) => Ok(guard),
        Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => {
            let message = "a turn is running in a branch that shares the sandbox of this session\nhint: try again when it is over";
            Err(ApiError::conflict(message))
        }
    }
}

fn files_of(live: &Live) -> Result<&Files, ApiError> {
    let missing =
        || ApiError::conflict("the files of this session cannot be reached: its code does not run in the sandbox");
    live.files.as_deref().ok_or_else(missing)
}

fn entry(entry: &FileEntry) -> Value {
    let name = entry.path.rsplit('/').next().unwrap_or_default();
    json!({"name": name, "kind": entry.kind, "bytes": entry.bytes, "modified": entry.modified_ms as f64 / 1000.0})
}

/// A file to be saved, never to be shown: what is in it was written by a model.
pub(crate) fn disposition(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or_default();
    let mut encoded = String::new();
    for byte in name.bytes() {
        match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'.' | b'_' | b'-' => encoded.push(char::from(byte)),
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    format!("attachment; filename*=UTF-8''{encoded}")
}

impl From<FileError> for ApiError {
    fn from(error: FileError) -> ApiError {
        let message = error.to_string();
        let kind = match error {
            FileError::Missing { .. } => ErrorKind::NotFound,
            FileError::TooLarge { .. } => ErrorKind::BodyTooLarge,
            FileError::Changed { .. } | FileError::Busy { .. } => ErrorKind::Conflict,
            FileError::Full { .. } | FileError::Quota { .. } => ErrorKind::Storage,
            FileError::Path { .. }
            | FileError::NotAFile { .. }
            | FileError::NotAFolder { .. }
            | FileError::Link { .. }
            | FileError::OtherMount { .. }
            | FileError::Shared { .. }
            | FileError::Denied { .. } => ErrorKind::BadRequest,
            _ => ErrorKind::Internal,
        };
        ApiError::new(kind, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_download_is_no_header_of_its_own() {
        assert_eq!(disposition("a/b c.csv"), "attachment; filename*=UTF-8''b%20c.csv");
        assert_eq!(disposition("x\r\nSet-Cookie: a\""), "attachment; filename*=UTF-8''x%0D%0ASet-Cookie%3A%20a%22");
    }
}
