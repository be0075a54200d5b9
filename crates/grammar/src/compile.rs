//! Make a grammar ready on a thread of its own, for at most some seconds.
//!
//! How deep and how long the compiler works is up to the request. What is known to be too much is refused beforehand;
//! this is for what is not known. A compilation cannot be stopped: one that takes too long is not waited for, and as
//! long as it goes on it counts against how many may run.

use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use llguidance::api::TopLevelGrammar;

use crate::error::GrammarError;
use crate::guided::Guided;
use crate::vocabulary::Vocabulary;

const SECONDS_MAX: u64 = 5;
const RUNNING_MAX: usize = 4;
/// Only what is used of it takes memory.
const STACK_BYTES: usize = 64 << 20;

static RUNNING: Mutex<usize> = Mutex::new(0);
static FREED: Condvar = Condvar::new();

pub(crate) enum Failure {
    Unusable(String),
    TooSlow,
    Busy,
}

impl Failure {
    pub fn of(self, kind: &'static str, hint: &'static str) -> GrammarError {
        match self {
            Failure::Unusable(what) => GrammarError::Unusable { kind, what, hint },
            Failure::TooSlow => GrammarError::TooSlow { kind, seconds: SECONDS_MAX },
            Failure::Busy => GrammarError::Busy { running: RUNNING_MAX },
        }
    }
}

/// One of the places for compilations, given back when dropped.
struct Place;

impl Place {
    /// Waits for a place; `None` when there is none in time.
    fn take(patience: Duration) -> Option<Place> {
        let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = |running: &mut usize| *running >= RUNNING_MAX;
        let (mut running, waited) =
            FREED.wait_timeout_while(running, patience, is_full).unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            return None;
        }
        *running += 1;
        Some(Place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        FREED.notify_one();
    }
}

pub(crate) fn compile(grammar: &TopLevelGrammar, vocabulary: &Arc<Vocabulary>) -> Result<Guided, Failure> {
    let deadline = Instant::now() + Duration::from_secs(SECONDS_MAX);
    let place = Place::take(Duration::from_secs(SECONDS_MAX)).ok_or(Failure::Busy)?;
    let (grammar, vocabulary) = (grammar.clone(), Arc::clone(vocabulary));
    let (sender, receiver) = sync_channel(1);
    let work = move || {
        let guided = Guided::new(grammar, &vocabulary);
        drop(place);
        // Nobody waits any more if it took too long.
        let _ = sender.send(guided);
    };
    let thread = thread::Builder::new().name("grammar".to_owned()).stack_size(STACK_BYTES).spawn(work);
    thread.map_err(|error| Failure::Unusable(error.to_string()))?;
    match receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        Ok(guided) => guided.map_err(Failure::Unusable),
        Err(RecvTimeoutError::Timeout) => Err(Failure::TooSlow),
        Err(RecvTimeoutError::Disconnected) => Err(Failure::Unusable("the compiler gave up".to_owned())),
    }
}
