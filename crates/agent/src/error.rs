//! Why a turn cannot go on. What code in the sandbox does is never an error: the model gets to see it.

use codeact_chat::FormatError;
use codeact_engine::EngineError;
use codeact_sandbox::SandboxError;
use std::path::PathBuf;

/// Errors of [`crate::Agent`] and what it is made of.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The messages cannot be turned into a prompt.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The model gave no reply.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Python could not be started again.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// A [`crate::ScriptedModel`] was asked for more than it was given.
    #[error("the script has {replies} replies and was asked for one more")]
    ScriptEnded {
        /// How many it had.
        replies: usize,
    },
    /// `codeact.json` cannot be read or written.
    #[error("cannot {action} `{path}`")]
    ProfileFile {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// `codeact.json` is not what it should be.
    #[error("`{path}`: {what}\nhint: it must hold {{\"profile\": NAME}} with one of {}", crate::Profile::NAMES.join(", "))]
    BadProfile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}
