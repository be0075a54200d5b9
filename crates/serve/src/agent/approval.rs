//! Code, and calls of tools, that wait for somebody to look at them. The question stands in the session, so that a page
//! that is loaded anew finds it, and it has one answer.

use std::sync::{Arc, Weak};
use std::time::Duration;

use codeact_agent::{Approver, Decision, Event, Verdict, question_id};
use codeact_sandbox::Approval;
use serde_json::{Value, json};

use crate::ApiError;
use crate::agent::record::ApprovalMode;
use crate::agent::session::{AgentSession, Inner};
use crate::agent::turn::full;
use crate::edge::log::log as report;
use crate::mcp::shown_call;

/// How often whoever waits looks whether the turn was interrupted by other means.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Something that waits for an answer.
#[derive(Debug)]
pub(crate) struct Question {
    pub approval: String,
    step: usize,
    code: String,
    /// It is about one call of this tool, which running code makes.
    tool: Option<String>,
    is_answered: bool,
    /// There once somebody has answered, until whoever asked takes it.
    answer: Option<Decision>,
}

impl Question {
    /// About code that is to run.
    pub fn of_code(approval: String, step: usize, code: String) -> Question {
        Question { approval, step, code, tool: None, is_answered: false, answer: None }
    }

    /// Whether nobody has answered.
    pub fn waits(&self) -> bool {
        !self.is_answered
    }

    /// As callers see it.
    pub fn object(&self) -> Value {
        let mut object = json!({"approval": self.approval, "step": self.step, "code": self.code});
        if let Some(tool) = &self.tool {
            object["tool"] = Value::from(tool.as_str());
        }
        object
    }
}

/// Whoever looks at a session and decides.
pub(crate) struct People {
    pub session: Weak<AgentSession>,
    /// What the session may take of the disk, its questions included.
    pub bytes_max: u64,
}

impl People {
    /// Waits, in a thread of the host, for what they say about a call that the running cell makes. One call is asked
    /// about at a time, and only as long as its cell runs.
    pub fn allow(&self, tool: &str, arguments: &Value) -> Approval {
        let nobody = || Approval::Deny("nobody answered".to_owned());
        let Some(session) = self.session.upgrade() else { return nobody() };
        let code = match shown_call(tool, arguments) {
            Ok(code) => code,
            Err(reason) => return Approval::Deny(reason),
        };
        let used = session.folder.bytes();
        if used > self.bytes_max {
            return Approval::Deny(full(used, self.bytes_max).message().to_owned());
        }
        let mut inner = session.state();
        let Some(cell) = inner.turn.as_ref().and_then(|turn| turn.cell) else { return nobody() };
        let asked = loop {
            let is_allowed = inner.allowed.contains(tool);
            match &inner.turn {
                Some(turn) if turn.is_interrupted || turn.cell != Some(cell) => return nobody(),
                Some(_) if is_allowed => return Approval::Allow,
                Some(turn) if turn.question.is_none() => break ask(&session, &mut inner, cell.step, tool, &code),
                Some(_) => inner = session.wait(inner, LOOK_EVERY),
                None => return nobody(),
            }
        };
        let approval = match asked {
            Ok(approval) => approval,
            Err(error) => {
                note_failure(&session, &error);
                return Approval::Deny(error.message().to_owned());
            }
        };
        loop {
            let asked = inner.turn.as_mut().and_then(|turn| turn.question.as_mut());
            match asked.filter(|question| question.approval == approval) {
                Some(question) => match question.answer.take() {
                    Some(decision) => return resolve(&session, &mut inner, approval, decision),
                    None => inner = session.wait(inner, LOOK_EVERY),
                },
                // Its cell has ended.
                None => return nobody(),
            }
        }
    }
}

/// Puts the question about a call before people. Returns what it is called.
fn ask(session: &AgentSession, inner: &mut Inner, step: usize, tool: &str, code: &str) -> Result<String, ApiError> {
    let (approval, code, tool) = (question_id(), code.to_owned(), Some(tool.to_owned()));
    let required = Event::ApprovalRequired { approval: approval.clone(), step, code: code.clone(), tool: tool.clone() };
    session.tell(inner, &required)?;
    let question = Question { tool, ..Question::of_code(approval.clone(), step, code) };
    if let Some(turn) = &mut inner.turn {
        turn.question = Some(question);
    }
    Ok(approval)
}

/// The question about a call has been answered: the next one can be asked.
fn resolve(session: &AgentSession, inner: &mut Inner, approval: String, decision: Decision) -> Approval {
    inner.turn.as_mut().and_then(|turn| turn.question.take());
    let (said, verdict, reason) = match decision {
        Decision::Run | Decision::RunInstead(_) => (Approval::Allow, Verdict::Approved, None),
        Decision::Deny(reason) => (Approval::Deny(reason.clone()), Verdict::Denied, Some(reason)),
        Decision::Interrupt => (Approval::Deny("the turn was interrupted".to_owned()), Verdict::Interrupted, None),
    };
    session.notify();
    // What nobody can read later is not done.
    match session.tell(inner, &Event::ApprovalResolved { approval, decision: verdict, reason, code: None }) {
        Ok(()) => said,
        Err(error) => Approval::Deny(error.message().to_owned()),
    }
}

/// The cell of a turn has ended, and with it the questions about its calls.
pub(crate) fn end_calls(session: &AgentSession) {
    let mut inner = session.state();
    let Some(turn) = &mut inner.turn else { return };
    turn.cell = None;
    if let Some(question) = turn.question.take() {
        let approval = question.approval;
        inner.note_answered(approval.clone());
        let decision = Verdict::Interrupted;
        let told = session.tell(&mut inner, &Event::ApprovalResolved { approval, decision, reason: None, code: None });
        if let Err(error) = told {
            note_failure(session, &error);
        }
    }
    session.notify();
}

fn note_failure(session: &AgentSession, error: &ApiError) {
    report(&json!({"error": format!("session {}: {}", session.id, error.message())}));
}

impl Approver for People {
    fn decide(&self, _code: &str, _step: usize) -> Decision {
        let Some(session) = self.session.upgrade() else { return Decision::Interrupt };
        let mut inner = session.state();
        loop {
            let is_auto = inner.record.approval == ApprovalMode::Auto;
            let Some(turn) = &mut inner.turn else { return Decision::Interrupt };
            if turn.is_interrupted || turn.interrupter.as_ref().is_some_and(codeact_agent::Interrupter::is_wanted) {
                return Decision::Interrupt;
            }
            if let Some(answer) = turn.question.as_mut().and_then(|question| question.answer.take()) {
                return answer;
            }
            // Also where it was switched over while somebody was asked.
            if is_auto {
                return Decision::Run;
            }
            inner = session.wait(inner, LOOK_EVERY);
        }
    }
}

/// Answers a question. `is_for_all`: nothing is asked in this session any more; of a call, nothing about this tool
/// while the server runs.
///
/// # Errors
/// When it was answered already: 409. When it was never asked: 404. When a call is to be changed: 400.
pub(crate) fn answer(
    session: &Arc<AgentSession>,
    approval: &str,
    decision: Decision,
    is_for_all: bool,
) -> Result<(), ApiError> {
    let mut inner = session.state();
    let is_known = inner.answered.iter().any(|known| known == approval);
    let question = inner.turn.as_mut().and_then(|turn| turn.question.as_mut());
    let tool = match question.filter(|question| question.approval == approval) {
        Some(question) if question.waits() => {
            if question.tool.is_some() && matches!(decision, Decision::RunInstead(_)) {
                return Err(ApiError::invalid("code", "a call of a tool can be approved or denied, not changed"));
            }
            (question.is_answered, question.answer) = (true, Some(decision));
            question.tool.clone().filter(|_| is_for_all)
        }
        Some(_) => return Err(answered(approval)),
        None if is_known => return Err(answered(approval)),
        None => {
            let shown = crate::fields::shown(&Value::from(approval));
            return Err(ApiError::not_found(format!("there is no approval {shown} in this session")));
        }
    };
    inner.note_answered(approval.to_owned());
    if let Some(tool) = tool {
        inner.allowed.insert(tool);
    } else if is_for_all {
        inner.record.approval = ApprovalMode::Auto;
        let approval = Some(ApprovalMode::Auto.name().to_owned());
        session.tell(&mut inner, &Event::Updated { title: None, approval, model: None })?;
        session.save(&mut inner, None)?;
    }
    session.notify();
    Ok(())
}

fn answered(approval: &str) -> ApiError {
    ApiError::conflict(format!("`{approval}` has been decided already, or waits no longer"))
}
