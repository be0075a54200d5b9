//! Why tasks cannot be read or run.

use std::path::PathBuf;

use codeact_agent::{AgentError, EndpointError};
use codeact_chat::FormatError;
use codeact_engine::EngineError;
use codeact_model::ModelError;
use codeact_model::source::SourceError;
use codeact_sandbox::SandboxError;

/// Errors of this crate, with place, value and way out. A task that the model does not solve is not one.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// A file cannot be read.
    #[error("cannot read `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write `{path}`")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file for the results could not be written, as was found before the work began.
    #[error("cannot write `{path}`: {reason}\nhint: give a file in a folder that exists and that you may write to")]
    Out {
        /// The file.
        path: PathBuf,
        /// What the system said; in the message itself, before the hint.
        reason: std::io::Error,
    },
    /// A line is not what it should be.
    #[error("`{path}` line {line}: {what}")]
    Line {
        /// The file.
        path: PathBuf,
        /// Line counted from 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
    /// There is nothing to do.
    #[error("`{path}` has no lines\nhint: each line is one JSON object")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The code that prepares the session of a task fails.
    #[error("the setup of `{id}` fails:\n{observation}")]
    Setup {
        /// The task.
        id: String,
        /// What the code left behind.
        observation: String,
    },
    /// Plans whose script does not do what it should.
    #[error("{} of {plans} plans are wrong; nothing was written\n{}", faults.len(), faults.join("\n"))]
    Plans {
        /// How many plans there are.
        plans: usize,
        /// One line for each wrong one, with its id.
        faults: Vec<String>,
    },
    /// The loop cannot go on.
    #[error("task `{id}` failed")]
    Agent {
        /// The task.
        id: String,
        /// Why.
        source: AgentError,
    },
    /// The model behind an address cannot be asked.
    #[error(transparent)]
    Endpoint(EndpointError),
    /// Python does not start.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The model cannot be found or fetched.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The weights of the model cannot be loaded.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Options contradict each other.
    #[error("{0}")]
    Options(String),
    /// The engine cannot work within its limits.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The chat format of the model cannot be loaded.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The profile of the model cannot be loaded.
    #[error(transparent)]
    Profile(AgentError),
    /// Somebody stopped it.
    #[error("interrupted after {done} of {all} tasks; nothing was written")]
    Interrupted {
        /// Tasks that were finished.
        done: usize,
        /// Tasks in all.
        all: usize,
    },
}

impl EvalError {
    /// Whether the input is at fault, rather than the run.
    pub fn is_bad_input(&self) -> bool {
        match self {
            EvalError::Source(source) => source.is_bad_input(),
            EvalError::Sandbox(sandbox) => sandbox.is_bad_input(),
            EvalError::Endpoint(error) => {
                matches!(error, EndpointError::BadUrl { .. } | EndpointError::NoModel { .. })
            }
            EvalError::Write { .. } | EvalError::Agent { .. } | EvalError::Interrupted { .. } => false,
            _ => true,
        }
    }
}
