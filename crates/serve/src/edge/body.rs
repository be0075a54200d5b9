//! The body of an answer, which keeps the request's place and record until its end.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use tokio::time::{Sleep, sleep_until};

use crate::edge::{Places, Record};

/// Bytes that are handed on at once: a connection takes more when these are gone, so a large answer keeps its place
/// until most of it is read.
const PIECE_BYTES: usize = 64 << 10;

/// A body that says when all of it was taken.
pub(crate) struct Watched {
    body: Body,
    /// What is left of its last frame.
    rest: Bytes,
    record: Arc<Record>,
    _place: Option<Places>,
    /// When it ends, finished or not.
    end: Option<Pin<Box<Sleep>>>,
}

impl Watched {
    /// * `end`: whatever is not taken by then is not sent.
    pub fn new(body: Body, record: Arc<Record>, place: Option<Places>, end: Option<Instant>) -> Watched {
        // Nobody asks a body that is at its end already.
        record.facts().is_complete = body.is_end_stream();
        let end = end.map(|end| Box::pin(sleep_until(end.into())));
        Watched { body, rest: Bytes::new(), record, _place: place, end }
    }

    fn next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                other => return Poll::Ready(other),
            }
        }
        let count = self.rest.len().min(PIECE_BYTES);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(count)))))
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.end.as_mut().is_some_and(|end| end.as_mut().poll(context).is_ready()) {
            let late = std::io::Error::new(std::io::ErrorKind::TimedOut, "the answer was not taken in time");
            return Poll::Ready(Some(Err(axum::Error::new(late))));
        }
        let poll = self.next(context);
        let is_end = match &poll {
            Poll::Ready(None) => true,
            // A body of known length is not asked once more.
            Poll::Ready(Some(Ok(_))) => self.is_end_stream(),
            _ => false,
        };
        if is_end {
            self.record.facts().is_complete = true;
        }
        poll
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, of_body) = (self.rest.len() as u64, self.body.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(of_body.lower() + rest);
        if let Some(upper) = of_body.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}
