//! One session: what it is doing, who may change it, and what is written down.
//!
//! One thing at a time has the agent: a turn, or a change (undo, branch, a file). Whoever has it holds an [`Exclusive`],
//! and puts it back by dropping it. Everything else, such as a title, a decision or a reader of events, needs only the
//! lock of the state, which nobody holds for long.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use codeact_agent::{Event, Interrupter};
use codeact_sandbox::Files;
use serde_json::{Value, json};

use crate::ApiError;
use crate::agent::approval::Question;
use crate::agent::log::EventLog;
use crate::agent::owners::{Caller, Counted};
use crate::agent::pythons::Holder;
use crate::agent::record::{Conversation, SessionRecord};
use crate::agent::recover::recover;
use crate::agent::start::Live;
use crate::agent::store::SessionFolder;
use crate::edge::log::log as report;

/// How long a request waits for a change to end before it is told to come again.
const CHANGE_TIME_MAX: Duration = Duration::from_secs(10);
/// Questions that are remembered as answered.
const ANSWERED_MAX: usize = 256;

/// One session.
pub(crate) struct AgentSession {
    pub id: String,
    pub owner: Caller,
    pub folder: SessionFolder,
    state: Mutex<Inner>,
    /// Something about the state is new.
    changed: Condvar,
    _counted: Counted,
}

/// What is behind the lock of a session.
pub(crate) struct Inner {
    pub record: SessionRecord,
    /// `None`: nobody has asked for it since the server started.
    log: Option<Arc<EventLog>>,
    /// `None`: it has no Python, or somebody has it out.
    live: Option<Live>,
    phase: Phase,
    /// There while a turn runs.
    pub turn: Option<TurnState>,
    pub answered: VecDeque<String>,
    /// Tools that somebody let this session call without being asked again.
    pub allowed: HashSet<String>,
    last_used: Instant,
    is_deleted: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Idle,
    /// A turn runs.
    Turn,
    /// Something else has the agent.
    Change,
}

/// A turn from the outside.
#[derive(Default)]
pub(crate) struct TurnState {
    /// There once there is an agent to stop.
    pub interrupter: Option<Interrupter>,
    /// Somebody wants it to stop.
    pub is_interrupted: bool,
    pub question: Option<Question>,
    /// There while code runs.
    pub cell: Option<RunningCell>,
    /// Its workspace, unless branches share it: then the files that are there may be those of another.
    pub files: Option<Arc<Files>>,
}

/// A cell that can call tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RunningCell {
    pub step: usize,
    /// The last event before it ran, which no other cell has.
    pub after: u64,
}

impl AgentSession {
    /// A session from the disk, or with a Python that has just started.
    pub fn new(
        folder: SessionFolder,
        record: SessionRecord,
        live: Option<Live>,
        log: Option<EventLog>,
        counted: Counted,
    ) -> Arc<AgentSession> {
        Arc::new(AgentSession {
            id: record.id.clone(),
            owner: record.caller(),
            folder,
            state: Mutex::new(Inner {
                record,
                log: log.map(Arc::new),
                live,
                phase: Phase::Idle,
                turn: None,
                answered: VecDeque::new(),
                allowed: HashSet::new(),
                last_used: Instant::now(),
                is_deleted: false,
            }),
            changed: Condvar::new(),
            _counted: counted,
        })
    }

    pub fn state(&self) -> MutexGuard<'_, Inner> {
        // Each change of it is one assignment; whatever a panicking thread left can be gone on with.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes whoever waits for the state to change.
    pub fn notify(&self) {
        self.changed.notify_all();
    }

    /// Waits for the next change, for a moment at most.
    pub fn wait<'a>(&self, inner: MutexGuard<'a, Inner>, time_max: Duration) -> MutexGuard<'a, Inner> {
        let waited = self.changed.wait_timeout(inner, time_max);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Its events.
    pub fn log(&self) -> Result<Arc<EventLog>, ApiError> {
        self.open_log(&mut self.state())
    }

    /// The first time, events are read from the disk, and a turn that a crash fell into is closed.
    fn open_log(&self, inner: &mut Inner) -> Result<Arc<EventLog>, ApiError> {
        if let Some(log) = &inner.log {
            return Ok(Arc::clone(log));
        }
        let failed = |error| ApiError::internal(format!("the events of this session cannot be read: {error}"));
        let (opened, tail) = EventLog::open(&self.folder.events()).map_err(failed)?;
        recover(&mut inner.record, &self.folder, &opened, &tail).map_err(failed)?;
        Ok(Arc::clone(inner.log.insert(Arc::new(opened))))
    }

    /// Lets the next one who asks find the events as they are on the disk, and close what is open there.
    pub fn read_anew(&self) {
        if let Some(log) = self.state().log.take() {
            log.close();
        }
    }

    /// As callers see it.
    pub fn object(&self, with_turns: bool) -> Result<Value, ApiError> {
        let mut inner = self.state();
        // A list does not read the events of all sessions.
        if with_turns {
            self.open_log(&mut inner)?;
        }
        let last_event = inner.log.as_ref().map_or(inner.record.last_event, |log| log.written().last);
        let question = inner.turn.as_ref().and_then(|turn| turn.question.as_ref()).filter(|question| question.waits());
        let pending = question.map_or(Value::Null, Question::object);
        Ok(inner.record.object(inner.name(question), last_event, pending, with_turns))
    }

    /// The agent for one thing only.
    ///
    /// # Errors
    /// While a turn runs, or another change takes its time: 409. When the session was deleted: 404.
    pub fn exclusive(self: &Arc<Self>) -> Result<Exclusive, ApiError> {
        let deadline = Instant::now() + CHANGE_TIME_MAX;
        let mut inner = self.state();
        self.open_log(&mut inner)?;
        loop {
            if inner.is_deleted {
                return Err(not_found(&self.id));
            }
            match inner.phase {
                Phase::Idle => break,
                Phase::Turn => return Err(turn_is_running()),
                Phase::Change if Instant::now() >= deadline => {
                    return Err(ApiError::conflict("this session is being changed\nhint: try again later"));
                }
                Phase::Change => inner = self.wait(inner, Duration::from_millis(200)),
            }
        }
        inner.phase = Phase::Change;
        let live = inner.live.take();
        Ok(Exclusive { session: Arc::clone(self), live, is_back: false })
    }

    /// Appends an event that belongs to no turn that runs.
    pub fn tell(&self, inner: &mut Inner, event: &Event) -> Result<(), ApiError> {
        let failed = |error| ApiError::internal(format!("the event cannot be written down: {error}"));
        let body = serde_json::to_string(event).map_err(|error| failed(error.into()))?;
        let turn = inner.record.turns.len() + usize::from(inner.turn.is_some());
        self.open_log(inner)?.append(turn as u64, &body).map_err(failed)?;
        Ok(())
    }

    /// Writes the session down; without a conversation, with the one that is written already.
    pub fn save(&self, inner: &mut Inner, conversation: Option<&Conversation>) -> Result<(), ApiError> {
        if inner.is_deleted {
            return Ok(());
        }
        let last = inner.log.as_ref().map_or(0, |log| log.written().last);
        inner.record.last_event = inner.record.last_event.max(last);
        let saved = self.folder.save(&inner.record, conversation);
        saved.map_err(|error| ApiError::internal(format!("the session cannot be written down: {error}")))
    }

    /// Stops the turn that runs. Whether there is one.
    pub fn interrupt(&self) -> bool {
        let mut inner = self.state();
        let Some(turn) = &mut inner.turn else { return false };
        turn.is_interrupted = true;
        if let Some(interrupter) = &turn.interrupter {
            interrupter.interrupt();
        }
        self.notify();
        true
    }

    /// Ends it, with the turn that may run and all its files. Blocks while Python ends, unless a turn has it.
    pub fn delete(&self) {
        self.interrupt();
        let live = {
            let mut inner = self.state();
            inner.is_deleted = true;
            // A crash before the folder is gone must not bring it back.
            if let Err(error) = self.folder.forget() {
                report(&json!({"error": format!("session {} cannot be deleted: {error}", self.id)}));
            }
            match inner.phase {
                Phase::Idle => inner.live.take(),
                Phase::Turn | Phase::Change => return,
            }
        };
        drop(live);
        self.end();
    }

    /// The last of it, when nobody has its agent any more.
    fn end(&self) {
        self.folder.remove();
        if let Some(log) = &self.state().log {
            log.close();
        }
    }
}

impl Inner {
    fn name(&self, question: Option<&Question>) -> &'static str {
        match self.phase {
            Phase::Turn if question.is_some() => "waiting",
            Phase::Turn => "running",
            // It is for a moment only, and whoever asks may ask for a turn.
            Phase::Change => "idle",
            Phase::Idle if self.live.is_some() => "idle",
            Phase::Idle => "stored",
        }
    }

    /// Remembers that a question has had its answer.
    pub fn note_answered(&mut self, approval: String) {
        if self.answered.len() == ANSWERED_MAX {
            self.answered.pop_front();
        }
        self.answered.push_back(approval);
    }

    /// The workspace, where it can be looked at without taking the agent out: an error while it cannot be looked at,
    /// `None` where the agent is needed for it.
    pub fn files(&self) -> Result<Option<Arc<Files>>, ApiError> {
        match (self.phase, &self.turn) {
            (Phase::Turn, Some(TurnState { files: Some(files), .. })) => Ok(Some(Arc::clone(files))),
            (Phase::Turn, _) => Err(turn_is_running()),
            _ => Ok(self.live.as_ref().and_then(Live::own_files)),
        }
    }
}

impl Holder for AgentSession {
    fn idle_since(&self) -> Option<Instant> {
        let inner = self.state();
        (inner.phase == Phase::Idle && inner.live.is_some()).then_some(inner.last_used)
    }

    fn give_back(&self, idle_since: Instant) {
        let live = {
            let mut inner = self.state();
            if inner.phase != Phase::Idle || inner.last_used != idle_since {
                return;
            }
            inner.phase = Phase::Change;
            inner.live.take()
        };
        // It comes back from its journal on the disk, which is free once all of it is gone.
        drop(live);
        let is_deleted = {
            let mut inner = self.state();
            inner.phase = Phase::Idle;
            self.notify();
            inner.is_deleted
        };
        if is_deleted {
            self.end();
        }
    }
}

/// The agent of a session, for one thing only.
pub(crate) struct Exclusive {
    pub session: Arc<AgentSession>,
    /// `None`: it has to be brought back first.
    pub live: Option<Live>,
    /// It was put back, and somebody else may have it already.
    is_back: bool,
}

impl Exclusive {
    /// From now on it is a turn that has the agent.
    pub fn begin_turn(&self, inner: &mut Inner) {
        inner.phase = Phase::Turn;
        let files = self.live.as_ref().and_then(Live::own_files);
        inner.turn = Some(TurnState { files, ..TurnState::default() });
    }

    /// Puts the agent back, and does `last` at the same moment for all who look.
    pub fn finish(mut self, last: impl FnOnce(&mut Inner)) {
        let session = Arc::clone(&self.session);
        let mut inner = session.state();
        self.put_back(&mut inner);
        last(&mut inner);
    }

    fn put_back(&mut self, inner: &mut Inner) {
        self.is_back = true;
        inner.live = self.live.take();
        inner.phase = Phase::Idle;
        inner.turn = None;
        inner.last_used = Instant::now();
        self.session.notify();
    }
}

impl Drop for Exclusive {
    fn drop(&mut self) {
        let session = Arc::clone(&self.session);
        let mut inner = session.state();
        if !self.is_back {
            self.put_back(&mut inner);
        }
        if inner.is_deleted && inner.phase == Phase::Idle {
            let live = inner.live.take();
            drop(inner);
            drop(live);
            session.end();
        }
    }
}

pub(crate) fn not_found(id: &str) -> ApiError {
    ApiError::not_found(format!("there is no session {}", crate::fields::shown(&Value::from(id))))
}

pub(crate) fn turn_is_running() -> ApiError {
    ApiError::conflict("a turn is running in this session\nhint: wait for its `turn.end`, or interrupt it")
}
