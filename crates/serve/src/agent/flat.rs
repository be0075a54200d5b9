//! Frames that come several at once, one by one.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::response::sse::Event;
use tokio_stream::Stream;

/// A stream of several frames at once, one by one.
pub(crate) struct Flat<S> {
    frames: S,
    ready: VecDeque<Event>,
}

impl<S> Flat<S> {
    pub fn new(frames: S) -> Flat<S> {
        Flat { frames, ready: VecDeque::new() }
    }
}

impl<S: Stream<Item = Vec<Event>> + Unpin> Stream for Flat<S> {
    type Item = Result<Event, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(frame)));
            }
            match ready!(Pin::new(&mut self.frames).poll_next(context)) {
                Some(frames) => self.ready.extend(frames),
                None => return Poll::Ready(None),
            }
        }
    }
}
