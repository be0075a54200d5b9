//! Somebody who looks at code before it runs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Asked before each cell, in the thread of the turn.
pub trait Approver: Send + Sync {
    /// What to do with the code of a step. May take its time; when the turn is interrupted meanwhile it must return
    /// [`Decision::Interrupt`] soon.
    fn decide(&self, code: &str, step: usize) -> Decision;
}

/// See [`Approver::decide`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Run it.
    Run,
    /// Run this instead. The conversation then holds it as what the model wrote.
    RunInstead(String),
    /// Do not run it; the model is told why.
    Deny(String),
    /// Do not run it, and end the turn.
    Interrupt,
}

/// How a question was answered, for those who listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The code runs.
    Approved,
    /// It does not, and the model is told why.
    Denied,
    /// Other code runs.
    Edited,
    /// The turn ends.
    Interrupted,
}

/// Names a question, differently from all before it, those of earlier processes included.
pub fn question_id() -> String {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_micros() as u64);
    let last = LAST.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |last| Some(now.max(last + 1)));
    format!("a{:x}", now.max(last.unwrap_or_default() + 1))
}
