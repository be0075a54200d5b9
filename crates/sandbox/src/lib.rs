//! Run untrusted Python: one persistent, confined CPython per session, driven cell by cell.
//!
//! A [`Session`] starts a `python3` under the protections listed in [`Protection`] and feeds it cells of code. What a
//! cell prints goes through raw pipes; how it ended comes over a separate framed socket. The host believes neither:
//! a cell can misreport its own result and nothing else, and it ends on its frame, on the death of its process, or on
//! the deadline, whichever comes first.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod policy; // read first: what a caller may ask for

mod cell; // what a cell leaves behind, and how a model sees it

mod session; // one interpreter at a time, and its folders

mod exchange; // the loop that runs one cell

mod capture; // output under a cap

mod frame; // the control channel

mod process; // one interpreter: start, signal, kill

mod interpreter; // which file `python3` really is

mod filesystem; // what the interpreter may read and write

mod confine; // what happens between fork and exec

mod protection; // which layers hold, as data

pub mod proxy; // the network with an allow-list

pub mod journal; // what happened in a session, kept on the disk

pub mod skills; // functions that proved useful, for later sessions

pub use cell::{Cell, CellEnd};
pub use policy::{Limits, Policy};
pub use protection::{Layer, LayerState, Protection};
pub use session::{Interrupter, Session, Stream};

use std::path::PathBuf;

/// Why a session could not start or go on. What code inside a cell does is never an error: see [`CellEnd`].
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The configured interpreter could not be run at all.
    #[error("cannot run Python `{python}`: {reason}\nhint: install Python 3.10 or newer and put `python3` on the PATH")]
    NoPython {
        /// The configured name or path.
        python: PathBuf,
        /// What the attempt ended in.
        reason: String,
    },
    /// The interpreter is older than the runner needs.
    #[error("Python `{python}` is version {version}, which is too old\nhint: Python 3.10 or newer is needed")]
    OldPython {
        /// The resolved interpreter.
        python: PathBuf,
        /// Its version.
        version: String,
    },
    /// The interpreter ran, but never answered under the protections of this host.
    #[error("Python `{python}` did not start in the sandbox: {reason}")]
    NoStart {
        /// The resolved interpreter.
        python: PathBuf,
        /// Exit status and what it wrote to stderr.
        reason: String,
    },
    /// The workspace the policy names cannot be used.
    #[error("cannot use the workspace `{path}`")]
    Workspace {
        /// The folder.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// The code of a cell does not fit in one frame.
    #[error("a cell of {bytes} bytes is larger than the limit of {bytes_max}")]
    CellTooLarge {
        /// Size of the code.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// A system call of the host failed.
    #[error("{action} failed")]
    System {
        /// What was tried.
        action: &'static str,
        /// The reason.
        source: std::io::Error,
    },
}

impl SandboxError {
    fn system(action: &'static str) -> impl Fn(std::io::Error) -> SandboxError {
        move |source| SandboxError::System { action, source }
    }
}
