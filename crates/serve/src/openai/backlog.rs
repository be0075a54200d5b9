//! Events of answers that wait for their reader, up to a bound; beyond it the answers end.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use codeact_engine::{Event, Ticket, TokenLogprobs};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// The reader's side.
pub(crate) struct Backlog {
    events: UnboundedReceiver<(usize, Event)>,
    shared: Arc<Shared>,
}

/// The engine's side.
#[derive(Clone)]
pub(crate) struct Entrance {
    events: UnboundedSender<(usize, Event)>,
    shared: Arc<Shared>,
}

struct Shared {
    bytes: AtomicUsize,
    bytes_max: usize,
    /// Of the answers that go on; `None` once too much waits.
    tickets: Mutex<Option<Vec<Option<Ticket>>>>,
}

impl Backlog {
    /// * `bytes_max`: of events that wait.
    pub fn new(bytes_max: usize) -> (Entrance, Backlog) {
        let (sender, events) = unbounded_channel();
        let shared = Arc::new(Shared { bytes: AtomicUsize::new(0), bytes_max, tickets: Mutex::new(Some(Vec::new())) });
        (Entrance { events: sender, shared: Arc::clone(&shared) }, Backlog { events, shared })
    }

    /// Keeps what cancels the next answer when it is dropped.
    pub fn add(&self, ticket: Ticket) {
        if let Some(tickets) = &mut *self.shared.tickets() {
            tickets.push(Some(ticket));
        }
    }

    /// An answer needs nothing more.
    pub fn end(&self, index: usize) {
        let ticket = self.shared.tickets().as_mut().and_then(|tickets| tickets.get_mut(index)?.take());
        drop(ticket);
    }

    /// Whether so much waited that all answers were ended.
    pub fn is_over(&self) -> bool {
        self.shared.tickets().is_none()
    }

    /// How much may wait.
    pub fn bytes_max(&self) -> usize {
        self.shared.bytes_max
    }

    /// The next event, and which answer it is of.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<(usize, Event)>> {
        let poll = self.events.poll_recv(context);
        if let Poll::Ready(Some((_, event))) = &poll {
            self.shared.bytes.fetch_sub(bytes(event), Ordering::Relaxed);
        }
        poll
    }
}

impl Drop for Backlog {
    /// The engine's side stays until the answers have ended, and with it what would cancel them.
    fn drop(&mut self) {
        let tickets = self.shared.tickets().take();
        drop(tickets);
    }
}

impl Entrance {
    /// Lets an event wait for the reader. Called between two passes of the model, so it is quick.
    pub fn put(&self, index: usize, event: Event) {
        let count = bytes(&event);
        let before = self.shared.bytes.fetch_add(count, Ordering::Relaxed);
        if before > 0 && before + count > self.shared.bytes_max {
            // Dropped after the lock. What waits is freed with the reader's side.
            let tickets = self.shared.tickets().take();
            drop(tickets);
            return;
        }
        // When nobody reads any more the tickets are gone too.
        let _ = self.events.send((index, event));
    }
}

impl Shared {
    fn tickets(&self) -> MutexGuard<'_, Option<Vec<Option<Ticket>>>> {
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an event takes while it waits.
fn bytes(event: &Event) -> usize {
    let of = |logprobs: &Option<TokenLogprobs>| {
        let top = logprobs.as_ref().map_or(0, |logprobs| logprobs.top.capacity());
        top * size_of::<(u32, f32)>()
    };
    let more = match event {
        Event::Token(token) => of(&token.logprobs),
        Event::Started { prompt_logprobs: Some(logprobs), .. } => {
            logprobs.iter().map(|logprobs| size_of_val(logprobs) + of(logprobs)).sum()
        }
        Event::Embedding(embedding) => size_of_val(&**embedding),
        _ => 0,
    };
    size_of::<(usize, Event)>() + more
}

#[cfg(test)]
mod tests {
    use codeact_engine::Token;

    use super::*;

    #[test]
    fn what_is_read_makes_room_and_what_is_not_ends_the_answers() {
        let token = || Event::Token(Token { id: 1, logprobs: None });
        let (entrance, mut backlog) = Backlog::new(3 * bytes(&token()));
        let mut context = Context::from_waker(std::task::Waker::noop());
        for _ in 0..100 {
            entrance.put(0, token());
            assert!(matches!(backlog.poll_next(&mut context), Poll::Ready(Some((0, Event::Token(_))))));
        }
        (0..3).for_each(|_| entrance.put(0, token()));
        assert!(!backlog.is_over());
        entrance.put(0, token());
        assert!(backlog.is_over());
    }

    #[test]
    fn one_event_always_has_room() {
        let logprobs = vec![Some(TokenLogprobs { logprob: 0.0, top: vec![(0, 0.0); 20] }); 1000];
        let (entrance, backlog) = Backlog::new(1);
        entrance.put(0, Event::Started { cached_tokens: 0, prompt_logprobs: Some(logprobs) });
        assert!(!backlog.is_over());
    }
}
