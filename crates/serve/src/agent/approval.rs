//! Code that waits for somebody to look at it. The question stands in the session, so that a page that is loaded anew
//! finds it, and it has one answer.

use std::sync::{Arc, Weak};
use std::time::Duration;

use codeact_agent::{Approver, Decision, Event};
use serde_json::{Value, json};

use crate::ApiError;
use crate::agent::record::ApprovalMode;
use crate::agent::session::AgentSession;

/// How often whoever waits looks whether the turn was interrupted by other means.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Something that waits for an answer.
#[derive(Debug)]
pub(crate) struct Question {
    pub approval: String,
    step: usize,
    code: String,
    is_answered: bool,
    /// There once somebody has answered, until the turn takes it.
    answer: Option<Decision>,
}

impl Question {
    pub fn new(approval: String, step: usize, code: String) -> Question {
        Question { approval, step, code, is_answered: false, answer: None }
    }

    /// Whether nobody has answered.
    pub fn waits(&self) -> bool {
        !self.is_answered
    }

    /// As callers see it.
    pub fn object(&self) -> Value {
        json!({"approval": self.approval, "step": self.step, "code": self.code})
    }
}

/// Waits, in the thread of a turn, for what people say about its code.
pub(crate) struct People(pub Weak<AgentSession>);

impl Approver for People {
    fn decide(&self, _code: &str, _step: usize) -> Decision {
        let Some(session) = self.0.upgrade() else { return Decision::Interrupt };
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

/// Answers a question. `is_for_all`: nothing is asked in this session any more.
///
/// # Errors
/// When it was answered already: 409. When it was never asked: 404.
pub(crate) fn answer(
    session: &Arc<AgentSession>,
    approval: &str,
    decision: Decision,
    is_for_all: bool,
) -> Result<(), ApiError> {
    let mut inner = session.state();
    let is_known = inner.answered.iter().any(|known| known == approval);
    let question = inner.turn.as_mut().and_then(|turn| turn.question.as_mut());
    match question.filter(|question| question.approval == approval) {
        Some(question) if question.waits() => {
            (question.is_answered, question.answer) = (true, Some(decision));
        }
        Some(_) => return Err(answered(approval)),
        None if is_known => return Err(answered(approval)),
        None => {
            let shown = crate::fields::shown(&Value::from(approval));
            return Err(ApiError::not_found(format!("there is no approval {shown} in this session")));
        }
    }
    inner.note_answered(approval.to_owned());
    if is_for_all {
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
