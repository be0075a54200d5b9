//! Events of a session as server-sent events: from where the reader was, then live.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;

use crate::agent::log::{EventLog, Line, Reader};
use crate::edge::log as report;
use crate::openai::completions::crashed;
use crate::{ApiError, AppState};

/// Pieces that may wait for a slow reader: 64 KiB, or one event, which may be a figure. The turn never waits.
const PIECES_AHEAD: usize = 1;
/// Proxies close what is silent for longer.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// What of a log is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// What follows this event.
    pub after: u64,
    /// Also what comes later.
    pub is_following: bool,
    /// Ends behind the end of this turn.
    pub turn_only: bool,
}

/// Sends the events. A reader that leaves, or is slow, changes nothing for anybody else.
pub(crate) fn stream(state: &AppState, log: Arc<EventLog>, wanted: Wanted) -> Response {
    let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
    let ending = state.edge.ending();
    tokio::spawn(async move {
        // The answer has begun: the reader sees that it ends, and comes again. Why it does is for the log.
        if let Err(error) = send(&log, wanted, &sender, ending).await {
            report(&json!({"error": format!("events cannot be read: {}", error.message())}));
        }
    });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        // Asks nginx and its like to pass events on as they come.
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    (headers, Body::from_stream(ReceiverStream::new(receiver))).into_response()
}

type Sender = mpsc::Sender<Result<Bytes, Infallible>>;

async fn send(
    log: &Arc<EventLog>,
    wanted: Wanted,
    sender: &Sender,
    mut ending: watch::Receiver<bool>,
) -> Result<(), ApiError> {
    let mut written = log.subscribe();
    let opened = Arc::clone(log);
    let mut reader = in_blocking(move || opened.reader(wanted.after)).await?;
    // Head of the answer at once, also where nothing has happened yet.
    if sender.send(Ok(Bytes::from_static(b": events\n\n"))).await.is_err() {
        return Ok(());
    }
    loop {
        let until = *written.borrow_and_update();
        let lines;
        (reader, lines) = next(reader, until.bytes).await?;
        let is_last = wanted.turn_only && lines.iter().any(|line| line.kind().as_deref() == Some("turn.end"));
        if !lines.is_empty() {
            if sender.send(Ok(frames(lines, wanted.turn_only))).await.is_err() || is_last {
                return Ok(());
            }
            continue;
        }
        // A turn gets its time when the server ends; who only waits for the next one does not.
        let is_ending = *ending.borrow() && !wanted.turn_only;
        if !wanted.is_following || until.is_closed || is_ending {
            return Ok(());
        }
        tokio::select! {
            changed = written.changed() => if changed.is_err() { return Ok(()) },
            _ = ending.changed(), if !wanted.turn_only => {}
            () = sender.closed() => return Ok(()),
            () = tokio::time::sleep(KEEP_ALIVE) => {
                if sender.send(Ok(Bytes::from_static(b": still here\n\n"))).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
}

async fn next(mut reader: Reader, bytes: u64) -> Result<(Reader, Vec<Line>), ApiError> {
    in_blocking(move || {
        let lines = reader.read(bytes)?;
        Ok((reader, lines))
    })
    .await
}

async fn in_blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, ApiError> {
    let done = tokio::task::spawn_blocking(work).await.map_err(crashed)?;
    done.map_err(|error| ApiError::internal(format!("the events cannot be read: {error}")))
}

fn frames(lines: Vec<Line>, turn_only: bool) -> Bytes {
    let mut text = String::new();
    for line in lines {
        let kind = line.kind().unwrap_or_default().into_owned();
        text.push_str(&format!("id: {}\nevent: {kind}\ndata: {}\n\n", line.id, line.text));
        if turn_only && kind == "turn.end" {
            break;
        }
    }
    text.into()
}
