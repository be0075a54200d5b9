//! Somebody who looks at code before it runs.

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
