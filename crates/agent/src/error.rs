//! Why a turn cannot go on. What code in the sandbox does is never an error: the model gets to see it.

use crate::endpoint::EndpointError;
use crate::{ActionFormat, Mark, Profile};
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
    /// A model elsewhere gave no reply.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// Python could not be started again, or cannot go back.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// A [`crate::ScriptedModel`] was asked for more than it was given.
    #[error("the script has {replies} replies and was asked for one more")]
    ScriptEnded {
        /// How many it had.
        replies: usize,
    },
    /// The conversation was never there.
    #[error(
        "the conversation was never at message {} with {} cells\nhint: marks are of one conversation, and those after a \
         point that was gone back to are over",
        mark.messages, mark.cells
    )]
    BadMark {
        /// What was asked for.
        mark: Mark,
    },
    /// `codeact.json` cannot be read or written.
    #[error("cannot {action} `{path}`")]
    WordingFile {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// `codeact.json` is not what it should be.
    #[error(
        "`{path}`: {what}\nhint: it must hold {{\"profile\": NAME}} with one of {}, and may hold \
         {{\"action_format\": NAME}} with one of {}", Profile::NAMES.join(", "), ActionFormat::NAMES.join(", ")
    )]
    BadWording {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

impl AgentError {
    /// The error as a word: `context`, `busy`, `model`, `endpoint`, `sandbox` or `input`.
    pub fn code(&self) -> &'static str {
        match self {
            error if error.is_context() => "context",
            AgentError::Engine(EngineError::Busy { .. } | EngineError::Draining) => "busy",
            AgentError::Engine(_) | AgentError::ScriptEnded { .. } => "model",
            AgentError::Endpoint(_) => "endpoint",
            AgentError::Sandbox(_) => "sandbox",
            AgentError::Format(_)
            | AgentError::BadMark { .. }
            | AgentError::WordingFile { .. }
            | AgentError::BadWording { .. } => "input",
        }
    }

    /// Whether the conversation is too long for the context of the model.
    pub fn is_context(&self) -> bool {
        match self {
            AgentError::Engine(EngineError::PromptTooLong { .. }) => true,
            AgentError::Endpoint(error) => error.is_context(),
            _ => false,
        }
    }
}
