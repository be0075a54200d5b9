//! Answers on their way out: whole, or as server-sent events while they grow.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use tokio_stream::Stream;

use crate::ApiError;
use crate::edge::crashed;
use crate::openai::answer::{Choice, Cost, Delta, Envelope, Said};
use crate::openai::choice::{End, Entry, Piece};
use crate::openai::run::Run;

/// Asks nginx and its like to pass events on as they come.
const UNBUFFERED: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));

/// Answers with more log-probabilities are written where it keeps nobody waiting.
const WRITTEN_HERE_MAX: usize = 256;

/// Sends the answers of `run` in the way it was asked for.
///
/// # Errors
/// When there is no answer, unless a stream has begun, which says so itself.
pub(crate) async fn reply(run: Run) -> Result<Response, ApiError> {
    if run.asked().settings.is_stream {
        let events = Sse::new(Chunks::new(run)).keep_alive(KeepAlive::default());
        return Ok(([UNBUFFERED], events).into_response());
    }
    let json = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(([json], whole(run).await?).into_response())
}

#[derive(Default)]
struct Whole {
    text: String,
    entries: Vec<Entry>,
    end: Option<End>,
}

async fn whole(mut run: Run) -> Result<String, ApiError> {
    let mut wholes: Vec<Whole> = (0..run.choice_count()).map(|_| Whole::default()).collect();
    while let Some(next) = run.next().await {
        let (index, piece) = next?;
        let whole = &mut wholes[index];
        whole.text.push_str(&piece.text);
        whole.entries.extend(piece.entries);
        whole.end = whole.end.take().or(piece.end);
    }
    if wholes.iter().map(|whole| whole.entries.len()).sum::<usize>() <= WRITTEN_HERE_MAX {
        return Ok(written(&run, &wholes));
    }
    tokio::task::spawn_blocking(move || written(&run, &wholes)).await.map_err(crashed)
}

fn written(run: &Run, wholes: &[Whole]) -> String {
    let asked = run.asked();
    let choices = wholes.iter().enumerate().map(|(index, whole)| {
        let said = if asked.is_chat {
            Said::Message { role: "assistant", content: &whole.text, refusal: None }
        } else {
            Said::Text(&whole.text)
        };
        Choice::new(asked, index, said, Some(&whole.entries), whole.end.as_ref())
    });
    Envelope::new(asked, false).body(&choices.collect::<Vec<_>>(), Cost::Said(run.usage()))
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
        let envelope = Envelope::new(run.asked(), true);
        Chunks { envelope, is_begun: vec![false; run.choice_count()], queue: VecDeque::new(), run: Some(run) }
    }

    fn add(&mut self, body: String) {
        self.queue.push_back(Event::default().data(body));
    }

    fn add_piece(&mut self, run: &Run, index: usize, piece: &Piece) {
        let asked = run.asked();
        let is_first = asked.is_chat && !std::mem::replace(&mut self.is_begun[index], true);
        if !is_first && piece == &Piece::default() {
            return;
        }
        let said = if asked.is_chat {
            let content = (is_first || !piece.text.is_empty()).then_some(&*piece.text);
            Said::Delta(Delta { role: is_first.then_some("assistant"), content })
        } else {
            Said::Text(&piece.text)
        };
        let entries = (!piece.entries.is_empty()).then_some(&*piece.entries);
        let choice = Choice::new(asked, index, said, entries, piece.end.as_ref());
        // Who asks for it gets it in a chunk of its own, as from OpenAI; others with the last piece of all answers.
        let cost = match (asked.settings.is_usage_streamed, run.is_ended()) {
            (true, _) => Cost::Later,
            (false, true) => Cost::Said(run.usage()),
            (false, false) => Cost::Unsaid,
        };
        self.add(self.envelope.body(&[choice], cost));
    }

    fn add_last(&mut self, run: &Run) {
        if run.asked().settings.is_usage_streamed {
            self.add(self.envelope.body(&[], Cost::Said(run.usage())));
        }
        self.add("[DONE]".to_owned());
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
                Some(Err(error)) => self.add(error.body().to_string()),
                None => self.add_last(&run),
            }
        }
    }
}
