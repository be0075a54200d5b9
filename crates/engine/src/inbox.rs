//! Where handles leave what the engine's thread takes up before its next pass.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::error::EngineError;
use crate::event::Event;
use crate::request::{Request, SessionId};
use crate::sampling::Sampler;

/// Called with each event, on the engine's thread.
pub(crate) type OnEvent = Box<dyn FnMut(Event) + Send>;

/// A checked request, on its way to the worker.
pub(crate) struct Job<A> {
    /// Earlier ones have smaller numbers.
    pub arrival: u64,
    pub request: Request<A>,
    /// Chooses the tokens of the answer.
    pub sampler: Sampler,
    /// Set by the caller when it wants no more.
    pub is_cancelled: Arc<AtomicBool>,
    pub caller: Caller,
    pub submitted: Instant,
    /// A health check: takes no place, goes before others and is not counted.
    pub is_probe: bool,
}

impl<A> Job<A> {
    pub fn is_cancelled(&self) -> bool {
        let is_set = |flag: &Arc<AtomicBool>| flag.load(Ordering::Acquire);
        is_set(&self.is_cancelled) || self.request.cancel.as_ref().is_some_and(is_set)
    }

    pub fn is_late(&self, now: Instant) -> bool {
        self.request.deadline.is_some_and(|deadline| deadline <= now)
    }
}

/// What requests that are to come may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Open,
    /// What is here is finished, nothing new is taken.
    Draining,
    /// Everything ends at once.
    Stopping,
    /// The thread is gone.
    Stopped,
}

/// What came in since the worker last looked.
pub(crate) struct Arrivals<A> {
    pub jobs: Vec<Job<A>>,
    pub closed_sessions: Vec<SessionId>,
    pub phase: Phase,
}

/// Shared between the handles, the tickets and the worker.
pub(crate) struct Inbox<A> {
    state: Mutex<State<A>>,
    changed: Condvar,
    /// Why the thread ended.
    stopped: Arc<OnceLock<String>>,
    /// Places of the requests that are in the engine.
    pub places: Arc<Places>,
}

struct State<A> {
    jobs: Vec<Job<A>>,
    next_arrival: u64,
    phase: Phase,
    open_sessions: BTreeSet<SessionId>,
    closed_sessions: Vec<SessionId>,
    next_session: u64,
}

impl<A> Inbox<A> {
    pub fn new(places_max: usize) -> Inbox<A> {
        let state = State {
            jobs: Vec::new(),
            next_arrival: 0,
            phase: Phase::Open,
            open_sessions: BTreeSet::new(),
            closed_sessions: Vec::new(),
            next_session: 0,
        };
        Inbox {
            state: Mutex::new(state),
            changed: Condvar::new(),
            stopped: Arc::default(),
            places: Arc::new(Places { taken: Mutex::new(0), max: places_max, changed: Condvar::new() }),
        }
    }

    /// Leaves a request for the worker.
    ///
    /// # Errors
    /// When it takes no new ones.
    pub fn push(&self, mut job: Job<A>) -> Result<(), EngineError> {
        let mut state = lock(&self.state);
        let refusal = match state.phase {
            Phase::Open => None,
            // A health check may well ask how the rest is doing.
            Phase::Draining => (!job.is_probe).then_some(EngineError::Draining),
            Phase::Stopping | Phase::Stopped => Some(self.stop_error()),
        };
        if let Some(error) = refusal {
            job.caller.forget();
            return Err(error);
        }
        job.arrival = state.next_arrival;
        state.next_arrival += 1;
        state.jobs.push(job);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// What came in; with `wait`, sleeps until there is something.
    pub fn take(&self, wait: bool) -> Arrivals<A> {
        let mut state = lock(&self.state);
        let is_empty = |state: &State<A>| state.jobs.is_empty() && state.closed_sessions.is_empty();
        while wait && is_empty(&state) && matches!(state.phase, Phase::Open | Phase::Draining) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let (jobs, closed_sessions) = (std::mem::take(&mut state.jobs), std::mem::take(&mut state.closed_sessions));
        Arrivals { jobs, closed_sessions, phase: state.phase }
    }

    /// Moves on to `phase`; never back.
    pub fn enter(&self, phase: Phase) {
        let mut state = lock(&self.state);
        if phase as u8 > state.phase as u8 {
            state.phase = phase;
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Says that the thread has ended. What was left for it is refused.
    pub fn close(&self, reason: String) {
        // Only the thread calls this, and once.
        let _ = self.stopped.set(reason);
        self.enter(Phase::Stopped);
        let left = std::mem::take(&mut lock(&self.state).jobs);
        drop(left);
    }

    /// For [`Caller::new`]: the reason that a caller is told when its request is dropped.
    pub fn stopped(&self) -> Arc<OnceLock<String>> {
        Arc::clone(&self.stopped)
    }

    /// Whether the thread is there, and is to stay.
    pub fn is_running(&self) -> bool {
        matches!(lock(&self.state).phase, Phase::Open | Phase::Draining)
    }

    /// Why there is no thread, or soon none.
    pub fn stop_error(&self) -> EngineError {
        stop_error(&self.stopped)
    }
}

impl<A: Send + Sync> SessionList for Inbox<A> {
    fn open_session(&self) -> SessionId {
        let mut state = lock(&self.state);
        let id = SessionId(state.next_session);
        state.next_session += 1;
        state.open_sessions.insert(id);
        id
    }

    fn close_session(&self, id: SessionId) {
        let mut state = lock(&self.state);
        if state.open_sessions.remove(&id) {
            state.closed_sessions.push(id);
        }
        drop(state);
        self.changed.notify_one();
    }

    fn is_session_open(&self, id: SessionId) -> bool {
        lock(&self.state).open_sessions.contains(&id)
    }

    fn session_count(&self) -> usize {
        lock(&self.state).open_sessions.len()
    }
}

/// Which sessions are open, for those who do not know the adapter's type.
pub(crate) trait SessionList: Send + Sync {
    fn open_session(&self) -> SessionId;
    fn close_session(&self, id: SessionId);
    fn is_session_open(&self, id: SessionId) -> bool;
    fn session_count(&self) -> usize;
}

fn stop_error(stopped: &OnceLock<String>) -> EngineError {
    let reason = stopped.get().cloned().unwrap_or_else(|| {
        // A request that was in the thread's hands when it panicked is dropped before the reason is known.
        let is_panic = std::thread::panicking();
        if is_panic { "its thread panicked" } else { "it was told to" }.to_owned()
    });
    EngineError::Stopped { reason }
}

/// A panic while one of these locks is held leaves its data whole: nothing under them can stop halfway.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One caller. It always hears how its request ended, also when the thread panics.
pub(crate) struct Caller {
    /// `None` after the last event.
    on_event: Option<OnEvent>,
    place: Option<Place>,
    stopped: Arc<OnceLock<String>>,
}

impl Caller {
    pub fn new(on_event: OnEvent, place: Option<Place>, stopped: Arc<OnceLock<String>>) -> Caller {
        Caller { on_event: Some(on_event), place, stopped }
    }

    /// Tells the caller. After `Done` and `Failed` nothing more is told, and its place is free.
    ///
    /// Returns false when the caller cannot listen any more: its closure panicked.
    pub fn tell(&mut self, event: Event) -> bool {
        let is_last = matches!(event, Event::Done(_) | Event::Failed(_));
        let Some(mut on_event) = self.on_event.take() else {
            return false;
        };
        if is_last {
            // Before the event: who hears of the end may ask again at once.
            self.place = None;
        }
        // A caller's panic is its own affair: the other requests go on.
        let call = std::panic::AssertUnwindSafe(|| on_event(event));
        let is_well = std::panic::catch_unwind(call).is_ok();
        if is_well && !is_last {
            self.on_event = Some(on_event);
        }
        is_well
    }

    /// Ends without a word: the caller gets an error in another way.
    pub fn forget(&mut self) {
        self.on_event = None;
        self.place = None;
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        let error = stop_error(&self.stopped);
        self.tell(Event::Failed(error));
    }
}

/// How many requests are in the engine.
pub(crate) struct Places {
    taken: Mutex<usize>,
    max: usize,
    changed: Condvar,
}

/// One of them; free again when dropped.
pub(crate) struct Place(Arc<Places>);

impl Places {
    /// How many there are.
    pub fn max(&self) -> usize {
        self.max
    }

    /// `None` when all are taken.
    pub fn take(self: &Arc<Self>) -> Option<Place> {
        let mut taken = lock(&self.taken);
        if *taken == self.max {
            return None;
        }
        *taken += 1;
        Some(Place(Arc::clone(self)))
    }

    /// Waits until all are free; false when that takes longer than `within`.
    pub fn wait_until_free(&self, within: Duration) -> bool {
        let taken = lock(&self.taken);
        let waited = self.changed.wait_timeout_while(taken, within, |taken| *taken > 0);
        *waited.unwrap_or_else(PoisonError::into_inner).0 == 0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = lock(&self.0.taken);
        *taken -= 1;
        if *taken == 0 {
            self.0.changed.notify_all();
        }
    }
}
