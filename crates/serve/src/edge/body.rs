//! The body of an answer, which keeps the request's place and record until its end.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::edge::{Places, Record};
use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};

/// A body that says when all of it was taken.
pub(crate) struct Watched {
    body: Body,
    record: Arc<Record>,
    _place: Option<Places>,
}

impl Watched {
    pub fn new(body: Body, record: Arc<Record>, place: Option<Places>) -> Watched {
        // Nobody asks a body that is at its end already.
        record.facts().is_complete = body.is_end_stream();
        Watched { body, record, _place: place }
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let poll = Pin::new(&mut self.body).poll_frame(context);
        let is_end = match &poll {
            Poll::Ready(None) => true,
            // A body of known length is not asked once more.
            Poll::Ready(Some(Ok(_))) => self.body.is_end_stream(),
            _ => false,
        };
        if is_end {
            self.record.facts().is_complete = true;
        }
        poll
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
