//! What leaves a connection: an answer that nobody takes ends it, so that nothing waits for ever to be read.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// Until when the answer on its way must be taken; shared by a connection and the request it serves.
#[derive(Debug, Clone, Default)]
pub(crate) struct TakenBy(Arc<Mutex<Option<Instant>>>);

impl TakenBy {
    /// For the answer that comes next.
    pub fn set(&self, time: Option<std::time::Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = time.map(Instant::from_std);
    }

    fn get(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream of which bytes that wait to be written must go on, and be gone in time.
pub(crate) struct Outgoing<S> {
    stream: S,
    /// How long no byte may be taken while some wait.
    stall_time_max: Duration,
    taken_by: TakenBy,
    /// There while bytes wait: when that is given up.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> Outgoing<S> {
    pub fn new(stream: S, stall_time_max: Duration, taken_by: TakenBy) -> Outgoing<S> {
        Outgoing { stream, stall_time_max, taken_by, waiting: None }
    }

    fn after(&mut self, written: Poll<io::Result<usize>>, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let (stall_time_max, taken_by) = (self.stall_time_max, &self.taken_by);
        let waiting = self.waiting.get_or_insert_with(|| {
            let stalled = Instant::now() + stall_time_max;
            Box::pin(sleep_until(taken_by.get().map_or(stalled, |taken_by| taken_by.min(stalled))))
        });
        ready!(waiting.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the answer is not read")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Outgoing<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Outgoing<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.after(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.after(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(test);
    }

    #[test]
    fn bytes_that_nobody_takes_are_an_error() {
        run(async {
            let (ours, _theirs) = duplex(10);
            let mut outgoing = Outgoing::new(ours, Duration::from_millis(50), TakenBy::default());
            let error = outgoing.write_all(&[0; 100]).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        });
    }

    #[test]
    fn a_slow_reader_has_time_until_the_answer_must_be_taken() {
        for (time, is_error) in [(None, false), (Some(Duration::from_millis(200)), true)] {
            run(async move {
                let (ours, mut theirs) = duplex(10);
                let taken_by = TakenBy::default();
                taken_by.set(time.map(|time| std::time::Instant::now() + time));
                // A reader that is never late by a second, and takes a second in all.
                tokio::spawn(async move {
                    let mut byte = [0];
                    while theirs.read_exact(&mut byte).await.is_ok() {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                });
                let mut outgoing = Outgoing::new(ours, Duration::from_secs(60), taken_by);
                assert_eq!(outgoing.write_all(&[0; 100]).await.is_err(), is_error);
            });
        }
    }
}
