//! A turn on a thread of its own: from what the user says to `turn.end`, whoever listens or leaves meanwhile.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use codeact_agent::{Event, Mark, TurnEnd};
use codeact_sandbox::Recovery;
use serde_json::{Value, json};

use crate::agent::approval::{People, Question, end_calls};
use crate::agent::log::{EventLog, unix_seconds};
use crate::agent::owners::Counted;
use crate::agent::pythons::Place;
use crate::agent::record::{ApprovalMode, Conversation, RunningTurn, TurnRecord};
use crate::agent::session::{AgentSession, Exclusive, RunningCell};
use crate::agent::start::{Live, chosen, restore};
use crate::edge::log::log as report;
use crate::{ApiError, AppState};

/// Where a conversation is of which nothing can be read.
const START: Mark = Mark { messages: 0, last_bytes: 0, cells: 0 };
/// Differences after a restart that are told.
const DIFFERENCES_MAX: usize = 20;

/// A turn that was accepted.
pub(crate) struct Accepted {
    pub turn: usize,
    /// Id of its `turn.start`.
    pub event: u64,
}

/// Begins a turn; it goes on by itself.
///
/// # Errors
/// While another turn runs: 409. When there is no room for it, or for its Python: 429. When the session may not take
/// more of the disk: 507.
pub(crate) fn begin(state: &AppState, session: &Arc<AgentSession>, content: String) -> Result<Accepted, ApiError> {
    let counted = state.agents.turns.take(&session.owner)?;
    let exclusive = session.exclusive()?;
    let used = session.folder.bytes();
    let most = state.agents.settings.session_bytes_max;
    if used >= most {
        return Err(full(used, most));
    }
    let place = match exclusive.live {
        Some(_) => None,
        None => Some(state.agents.pythons.reserve()?),
    };
    let log = session.log()?;
    let mut inner = session.state();
    let turn = inner.record.turns.len() + 1;
    let start = json!({"type": "turn.start", "content": content});
    let failed = |error| ApiError::internal(format!("the turn cannot be written down: {error}"));
    let event = log.append(turn as u64, &start.to_string()).map_err(failed)?;
    exclusive.begin_turn(&mut inner);
    inner.record.running = Some(RunningTurn { turn, content, first_event: event });
    drop(inner);
    let running = Running {
        state: state.clone(),
        session: Arc::clone(session),
        log,
        turn,
        first_event: event,
        used,
        is_full: false,
        end: None,
        answer: None,
        began: unix_seconds(),
    };
    let thread = std::thread::Builder::new().name("turn".to_owned());
    let spawned = thread.spawn(move || run(running, exclusive, place, counted));
    spawned.map(|_| Accepted { turn, event }).map_err(|error| {
        // The agent went back with the closure; the turn that did not begin is closed as after a crash.
        session.read_anew();
        ApiError::internal(format!("the turn cannot begin: {error}"))
    })
}

/// What the session may take of the disk is used up.
pub(crate) fn full(used: u64, most: u64) -> ApiError {
    let mebibytes = |bytes: u64| bytes.div_ceil(1 << 20);
    ApiError::storage(format!(
        "this session takes {} MiB on the disk, and {} is the limit\nhint: branch from an earlier turn, or start another session",
        mebibytes(used),
        mebibytes(most)
    ))
}

struct Running {
    state: AppState,
    session: Arc<AgentSession>,
    log: Arc<EventLog>,
    turn: usize,
    first_event: u64,
    /// Bytes on the disk when they were last looked at.
    used: u64,
    /// The limit of the disk was reached: what only shows progress is no longer written.
    is_full: bool,
    end: Option<Event>,
    answer: Option<String>,
    began: f64,
}

fn run(mut running: Running, mut exclusive: Exclusive, place: Option<Place>, counted: Counted) {
    let acted = catch_unwind(AssertUnwindSafe(|| act(&mut running, &mut exclusive, place)));
    let before = match acted {
        Ok(before) => before,
        Err(_) => {
            // Its text has gone to stderr. What the agent holds may be half of something: it comes back from the disk.
            exclusive.live = None;
            running.fail("the turn crashed", "crashed");
            None
        }
    };
    close(running, exclusive, before);
    drop(counted);
}

/// Returns where conversation and Python were before, if there was anything to act with.
fn act(running: &mut Running, exclusive: &mut Exclusive, place: Option<Place>) -> Option<Mark> {
    if let Some(place) = place {
        match bring_back(running, place) {
            Ok(live) => exclusive.live = Some(live),
            Err(error) => {
                running.fail(error.message(), "python_not_back");
                return None;
            }
        }
    }
    let files = exclusive.live.as_ref().and_then(Live::own_files);
    let Live { agent, family, .. } = exclusive.live.as_mut()?;
    let family = Arc::clone(family);
    // Branches take turns cell by cell; only files have to wait for all of them.
    let _family = family.read();
    let before = agent.mark();
    let content = {
        let mut inner = running.session.state();
        let conversation = Conversation { messages: agent.messages().to_vec(), now: before };
        if let Err(error) = running.session.save(&mut inner, Some(&conversation)) {
            drop(inner);
            running.fail(error.message(), "disk");
            return Some(before);
        }
        if let Some(turn) = &mut inner.turn {
            turn.interrupter = Some(agent.interrupter());
            turn.files = files;
        }
        inner.record.running.as_ref().map(|turn| turn.content.clone()).unwrap_or_default()
    };
    let bytes_max = running.state.agents.settings.session_bytes_max;
    let people = Arc::new(People { session: Arc::downgrade(&running.session), bytes_max });
    agent.set_approver(Some(people.clone()));
    let names = running.session.state().record.tools.clone();
    let ask = move |tool: &str, arguments: &Value| people.allow(tool, arguments);
    match chosen(&running.state, &names, Some(Arc::new(ask))) {
        Ok(toolbox) => toolbox.into_iter().for_each(|toolbox| agent.interpreter().set_toolbox(toolbox)),
        Err(error) => {
            running.fail(error.message(), "tools");
            return Some(before);
        }
    }
    // What fails is told by the agent itself.
    let _told = agent.run_turn(&content, &mut |event| running.take(event));
    Some(before)
}

fn bring_back(running: &mut Running, place: Place) -> Result<Live, ApiError> {
    let Running { state, session, .. } = running;
    let record = session.state().record.clone();
    let unread = |error| ApiError::internal(format!("the conversation cannot be read: {error}"));
    let conversation = session.folder.conversation().map_err(unread)?;
    let began = unix_seconds();
    let (live, recovery) = restore(state, &record, &session.folder, conversation, place)?;
    if let Some(recovery) = recovery {
        running.append(&restored(&recovery, unix_seconds() - began));
    }
    Ok(live)
}

/// The event that tells how Python came back.
pub(crate) fn restored(recovery: &Recovery, seconds: f64) -> String {
    let differences = &recovery.differences[..recovery.differences.len().min(DIFFERENCES_MAX)];
    let cut = recovery.cut.map(|cut| cut.to_string());
    let told: Vec<&String> = differences.iter().chain(&cut).collect();
    json!({
        "type": "restored", "cells": recovery.cells, "differences": told,
        "differences_left_out": recovery.differences.len() - differences.len(), "seconds": seconds,
    })
    .to_string()
}

impl Running {
    /// Takes what the agent tells.
    fn take(&mut self, event: Event) {
        match event {
            // It is there already: whoever posted the message was told its id.
            Event::TurnStart { .. } => {}
            Event::TurnEnd { .. } => self.end = Some(event),
            Event::ApprovalRequired { ref approval, step, ref code, .. } => {
                let is_asked = {
                    let mut inner = self.session.state();
                    let is_asked = inner.record.approval == ApprovalMode::Ask;
                    if let Some(turn) = inner.turn.as_mut().filter(|_| is_asked) {
                        turn.question = Some(Question::of_code(approval.clone(), step, code.clone()));
                    }
                    is_asked
                };
                if is_asked {
                    self.tell(&event);
                }
            }
            Event::ApprovalResolved { .. } => {
                let question = {
                    let mut inner = self.session.state();
                    let question = inner.turn.as_mut().and_then(|turn| turn.question.take());
                    if let Some(question) = question.as_ref().filter(|question| question.waits()) {
                        inner.note_answered(question.approval.clone());
                    }
                    question
                };
                // Nobody was asked where everything runs.
                if question.is_some() {
                    self.tell(&event);
                }
            }
            Event::Token { .. }
            | Event::CodeDelta { .. }
            | Event::SolutionDelta { .. }
            | Event::ExecStdout { .. }
            | Event::ExecDisplay { .. }
                if self.is_full => {}
            Event::ExecStart { step, .. } => {
                self.tell(&event);
                let after = self.log.written().last;
                if let Some(turn) = &mut self.session.state().turn {
                    turn.cell = Some(RunningCell { step, after });
                }
            }
            Event::ExecEnd { .. } => {
                end_calls(&self.session);
                self.tell(&event);
                self.used = self.session.folder.bytes();
                self.bound();
            }
            event => {
                if let Event::Answer { text } = &event {
                    self.answer = Some(text.clone());
                }
                self.tell(&event);
                self.bound();
            }
        }
        self.look();
    }

    /// An interrupt that came before the agent began would be forgotten.
    fn look(&self) {
        let inner = self.session.state();
        if let Some(turn) = inner.turn.as_ref().filter(|turn| turn.is_interrupted)
            && let Some(interrupter) = &turn.interrupter
        {
            interrupter.interrupt();
        }
    }

    /// Ends the turn when the session takes more of the disk than it may.
    fn bound(&mut self) {
        let most = self.state.agents.settings.session_bytes_max;
        if self.is_full || self.used <= most {
            return;
        }
        self.is_full = true;
        self.tell(&Event::Error {
            message: full(self.used, most).message().to_owned(),
            code: "session_full".to_owned(),
        });
        self.session.interrupt();
    }

    fn tell(&mut self, event: &Event) {
        match serde_json::to_string(event) {
            Ok(body) => self.append(&body),
            Err(error) => report(&json!({"error": format!("an event cannot be written as JSON: {error}")})),
        }
    }

    fn append(&mut self, body: &str) {
        self.used += body.len() as u64;
        if let Err(error) = self.log.append(self.turn as u64, body) {
            let id = &self.session.id;
            report(&json!({"error": format!("an event of session {id} cannot be written down: {error}")}));
            // Nobody would see what it does.
            self.session.interrupt();
        }
    }

    /// Tells of an error that the agent did not tell of.
    fn fail(&mut self, message: &str, code: &str) {
        self.tell(&Event::Error { message: message.to_owned(), code: code.to_owned() });
    }

    fn record(&self, before: Mark, content: String) -> TurnRecord {
        let mut record = TurnRecord {
            turn: self.turn,
            content,
            answer: self.answer.clone(),
            end: TurnEnd::Error,
            steps: 0,
            executions: 0,
            prompt_tokens: 0,
            completion_tokens: 0,
            seconds: unix_seconds() - self.began,
            first_event: self.first_event,
            last_event: 0,
            before,
        };
        if let Some(Event::TurnEnd { end, steps, executions, prompt_tokens, completion_tokens, seconds }) = self.end {
            record = TurnRecord { end, steps, executions, prompt_tokens, completion_tokens, seconds, ..record };
        }
        record
    }
}

/// Writes down what the turn came to; the agent is back at the moment its last event can be read.
fn close(running: Running, exclusive: Exclusive, before: Option<Mark>) {
    let session = Arc::clone(&running.session);
    // Where a cell did not come to its end.
    end_calls(&session);
    let live = exclusive.live.as_ref();
    let conversation =
        live.map(|Live { agent, .. }| Conversation { messages: agent.messages().to_vec(), now: agent.mark() });
    exclusive.finish(|inner| {
        let content = inner.record.running.take().map(|turn| turn.content).unwrap_or_default();
        let before = before.or_else(|| session.folder.conversation().ok().map(|kept| kept.now));
        let mut turn = running.record(before.unwrap_or(START), content);
        turn.last_event = running.log.written().last + 1;
        let end = turn.end_event();
        inner.record.last_event = turn.last_event;
        inner.record.turns.push(turn);
        let saved = session.save(inner, conversation.as_ref());
        let told = serde_json::to_string(&end).map_err(Into::into).and_then(|body| {
            running.log.append(running.turn as u64, &body)?;
            running.log.sync()
        });
        let failures = [saved.err().map(|error| error.message().to_owned()), told.err().map(|error| error.to_string())];
        for failure in failures.into_iter().flatten() {
            report(&json!({"error": format!("session {}: {failure}", session.id)}));
        }
    });
}
