//! Code on its way to the interpreter: compiled, approved, run for no longer than it may.

use crate::approve::question_id;
use crate::event::formats;
use crate::reply::Reply;
use crate::run::Running;
use crate::{Agent, AgentError, Approver, Decision, Event, Interrupter, Verdict};
use codeact_sandbox::{Cell, Kind};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Instant;

/// What became of code that somebody looked at.
pub(crate) enum Approved {
    /// It runs.
    Run(String),
    /// Other code runs.
    Edited(String),
    /// It does not, and this is what the model is told.
    Denied(String, String),
    /// The turn is over.
    Interrupted,
}

impl Agent {
    /// Why `code` cannot run: it is no Python. In the words in which Python says it, as models were trained to see it.
    pub(crate) fn fault_of(&mut self, code: &str) -> Result<Option<String>, AgentError> {
        let error = self.interpreter.check(code)?;
        Ok(error.map(|error| error.traceback))
    }

    /// Ask the approver, if there is one.
    pub(crate) fn approved(&mut self, running: &mut Running<'_>, code: String) -> Approved {
        let Some(approver) = self.approver.clone() else { return Approved::Run(code) };
        let (step, approval) = (running.turn.steps, question_id());
        running.tell(Event::ApprovalRequired { approval: approval.clone(), step, code: code.clone(), tool: None });
        let asked = Instant::now();
        let decision = decide(&approver, &self.interrupter, &code, step);
        running.paused += asked.elapsed();
        let (decision, reason, edited, approved) = match decision {
            Decision::Run => (Verdict::Approved, None, None, Approved::Run(code)),
            Decision::RunInstead(other) if other == code => (Verdict::Approved, None, None, Approved::Run(code)),
            Decision::RunInstead(other) => (Verdict::Edited, None, Some(other.clone()), Approved::Edited(other)),
            Decision::Deny(reason) => {
                let told = match reason.trim() {
                    "" => "[The code was not approved, and was not run.]".to_string(),
                    reason => format!("[The code was not approved, and was not run. Reason: {reason}]"),
                };
                (Verdict::Denied, Some(reason), None, Approved::Denied(code, told))
            }
            Decision::Interrupt => (Verdict::Interrupted, None, None, Approved::Interrupted),
        };
        running.tell(Event::ApprovalResolved { approval, decision, reason, code: edited });
        approved
    }

    /// Put edited code into the conversation, in the place of what the model wrote.
    pub(crate) fn rewrite(&mut self, reply: &Reply, code: &str) {
        if let Some(last) = self.messages.last_mut() {
            last.content = reply.parser.text_with(code);
        }
    }

    /// Run a cell, for no longer than the turn may last. Gives also whether it was stopped by that, and its seconds.
    pub(crate) fn execute(&mut self, code: &str, running: &mut Running<'_>) -> Result<(Cell, bool, f64), AgentError> {
        running.turn.executions += 1;
        let deadline = running.deadline(self.options.limits.turn_time_max);
        let step = running.turn.steps;
        let on_event = &mut *running.on_event;
        on_event(Event::ExecStart { step, code: code.to_string() });
        let started = Instant::now();
        let interpreter = &mut self.interpreter;
        let (cell, is_late) = until(deadline, &self.interrupter, || {
            interpreter.run(code, &mut |event| {
                on_event(match event.kind {
                    Kind::Output { stream, text } => {
                        Event::ExecStdout { stream, text: text.to_string(), is_late: false }
                    }
                    Kind::Late { stream, text } => Event::ExecStdout { stream, text: text.to_string(), is_late: true },
                    Kind::Display(bundle) => Event::ExecDisplay { data: formats(bundle) },
                });
            })
        });
        Ok((cell?, is_late, started.elapsed().as_secs_f64()))
    }

    /// What the model gets to see of a cell.
    pub(crate) fn observation(&self, cell: &Cell) -> String {
        let limits = &self.options.limits;
        if self.model.count_tokens("").is_none() {
            return cell.observation(limits.observation_chars_max);
        }
        // A text that cannot be counted is taken for the longest that it could be.
        let count = |text: &str| self.model.count_tokens(text).unwrap_or(text.len());
        cell.observation_within(limits.observation_tokens_max, &count)
    }
}

/// Ask, unless the turn is to end already or ends meanwhile.
fn decide(approver: &Arc<dyn Approver>, interrupter: &Interrupter, code: &str, step: usize) -> Decision {
    if interrupter.is_wanted() {
        return Decision::Interrupt;
    }
    let decision = approver.decide(code, step);
    if interrupter.is_wanted() { Decision::Interrupt } else { decision }
}

/// Do `work`, whose cell is stopped at `deadline`. Gives also whether it was.
fn until<T>(deadline: Option<Instant>, interrupter: &Interrupter, work: impl FnOnce() -> T) -> (T, bool) {
    let Some(deadline) = deadline else { return (work(), false) };
    let (done, is_done) = channel::<()>();
    std::thread::scope(|scope| {
        let watch = scope.spawn(move || {
            let left = deadline.saturating_duration_since(Instant::now());
            let is_late = is_done.recv_timeout(left) == Err(RecvTimeoutError::Timeout);
            if is_late {
                interrupter.interrupt_cell();
            }
            is_late
        });
        let result = work();
        drop(done);
        let is_late = watch.join().unwrap_or(false);
        // It may have ended by itself just before.
        interrupter.clear_cell();
        (result, is_late)
    })
}
