//! Answers on their way out: whole, or as server-sent events while they grow.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::Json;
use axum::http::{HeaderName, HeaderValue};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio_stream::Stream;

use crate::ApiError;
use crate::openai::answer::{Envelope, add_end, chat_logprobs, text_logprobs, usage};
use crate::openai::choice::{End, Entry, Piece};
use crate::openai::run::Run;

/// Asks nginx and its like to pass events on as they come.
const UNBUFFERED: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));

/// Sends the answers of `run` in the way it was asked for.
///
/// # Errors
/// When there is no answer, unless a stream has begun, which says so itself.
pub(crate) async fn reply(run: Run) -> Result<Response, ApiError> {
    if run.asked().settings.is_stream {
        let events = Sse::new(Chunks::new(run)).keep_alive(KeepAlive::default());
        return Ok(([UNBUFFERED], events).into_response());
    }
    Ok(Json(whole(run).await?).into_response())
}

#[derive(Default)]
struct Whole {
    text: String,
    entries: Vec<Entry>,
    end: Option<End>,
}

async fn whole(mut run: Run) -> Result<Value, ApiError> {
    let mut wholes: Vec<Whole> = (0..run.choice_count()).map(|_| Whole::default()).collect();
    while let Some(next) = run.next().await {
        let (index, piece) = next?;
        let whole = &mut wholes[index];
        whole.text.push_str(&piece.text);
        whole.entries.extend(piece.entries);
        whole.end = whole.end.take().or(piece.end);
    }
    let choices = wholes.into_iter().enumerate().map(|(index, whole)| {
        let mut choice = if run.asked().is_chat {
            json!({"index": index, "message": {"role": "assistant", "content": whole.text, "refusal": null}})
        } else {
            json!({"index": index, "text": whole.text})
        };
        choice["logprobs"] = logprobs(&run, &whole.entries);
        add_end(&mut choice, whole.end.as_ref(), &run.asked().settings.stop_texts);
        choice
    });
    let choices = choices.collect();
    let mut body = envelope(&run, false).body(choices);
    body["usage"] = usage(run.usage());
    Ok(body)
}

fn envelope(run: &Run, is_chunk: bool) -> Envelope {
    let (prefix, object) = match (run.asked().is_chat, is_chunk) {
        (true, false) => ("chatcmpl", "chat.completion"),
        (true, true) => ("chatcmpl", "chat.completion.chunk"),
        (false, _) => ("cmpl", "text_completion"),
    };
    Envelope::new(prefix, object, &run.asked().target.name)
}

fn logprobs(run: &Run, entries: &[Entry]) -> Value {
    let asked = run.asked();
    match (asked.logprobs, asked.is_chat) {
        (None, _) => Value::Null,
        (Some(_), true) => chat_logprobs(entries, &asked.target.words),
        (Some(_), false) => text_logprobs(entries, &asked.target.words),
    }
}

/// The events of a stream. Dropping it, as happens when the reader leaves, cancels what runs.
struct Chunks {
    /// `None` after the last of its pieces.
    run: Option<Run>,
    envelope: Envelope,
    /// Which answers have said who speaks.
    is_begun: Vec<bool>,
    /// Events that are ready.
    queue: VecDeque<Event>,
}

impl Chunks {
    fn new(run: Run) -> Chunks {
        let envelope = envelope(&run, true);
        Chunks { envelope, is_begun: vec![false; run.choice_count()], queue: VecDeque::new(), run: Some(run) }
    }

    fn add(&mut self, body: &Value) {
        self.queue.push_back(Event::default().data(body.to_string()));
    }

    fn add_piece(&mut self, run: &Run, index: usize, piece: &Piece) {
        let is_chat = run.asked().is_chat;
        let is_first = is_chat && !std::mem::replace(&mut self.is_begun[index], true);
        if !is_first && piece == &Piece::default() {
            return;
        }
        let mut choice = json!({"index": index});
        if is_chat {
            let mut delta = json!({});
            if is_first {
                delta["role"] = json!("assistant");
            }
            if is_first || !piece.text.is_empty() {
                delta["content"] = json!(piece.text);
            }
            choice["delta"] = delta;
        } else {
            choice["text"] = json!(piece.text);
        }
        choice["logprobs"] = if piece.entries.is_empty() { Value::Null } else { logprobs(run, &piece.entries) };
        add_end(&mut choice, piece.end.as_ref(), &run.asked().settings.stop_texts);
        let mut body = self.envelope.body(vec![choice]);
        if run.asked().settings.is_usage_streamed {
            body["usage"] = Value::Null;
        }
        self.add(&body);
    }

    fn add_last(&mut self, run: &Run) {
        if run.asked().settings.is_usage_streamed {
            let mut body = self.envelope.body(Vec::new());
            body["usage"] = usage(run.usage());
            self.add(&body);
        }
        self.queue.push_back(Event::default().data("[DONE]"));
    }
}

impl Stream for Chunks {
    type Item = Result<Event, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Event, Infallible>>> {
        loop {
            if let Some(event) = self.queue.pop_front() {
                return Poll::Ready(Some(Ok(event)));
            }
            let Some(mut run) = self.run.take() else { return Poll::Ready(None) };
            let poll = run.poll_next(context);
            if poll.is_pending() {
                self.run = Some(run);
                return Poll::Pending;
            }
            match ready!(poll) {
                Some(Ok((index, piece))) => {
                    self.add_piece(&run, index, &piece);
                    self.run = Some(run);
                }
                Some(Err(error)) => self.add(&error.body()),
                None => self.add_last(&run),
            }
        }
    }
}
