//! Run untrusted Python: one persistent, confined CPython per session, driven cell by cell.
//!
//! A [`Session`] starts a `python3` under the protections listed in [`Protection`] and feeds it cells of code. What a
//! cell prints goes through raw pipes; how it ended comes over a separate framed socket. The host believes neither:
//! a cell can misreport its own result and nothing else, and it ends on its frame, on the death of its process, or on
//! the deadline, whichever comes first.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod policy; // read first: what a caller may ask for

mod session; // one interpreter from cell to cell: run, undo, branch

mod backend; // what callers need of whatever runs cells

#[cfg(feature = "jupyter")]
pub mod jupyter; // a kernel of the user's own, without a sandbox

mod cell; // what a cell leaves behind, and how a model sees it

mod bundle; // one thing to show, in several formats

mod capture; // output under a cap

mod tools; // functions of the host that cells can call

mod workspace; // files in and out, and snapshots of them

pub mod proxy; // the network with an allow-list

pub mod journal; // what happened in a session, kept on the disk

pub mod skills; // functions that proved useful, kept for later sessions

pub mod doctor; // the sandbox tried out where it is to hold

mod launcher; // the process that starts sessions

mod init; // the first process of a session

mod jail; // namespaces, mounts and rights

mod seccomp; // which system calls the kernel answers

mod cgroup; // limits for all processes of a session together

mod scratch; // private folders, and those that a dead host left

mod python; // the Python that runs inside, as text

mod interpreter; // which file `python3` really is

mod protection; // which layers hold, as data

mod wire; // how these processes talk

pub use backend::Interpreter;
pub use bundle::Bundle;
pub use cell::{Cell, CellEnd, CellError, State};
pub use policy::{Limits, Network, Policy, Rung};
pub use protection::{Layer, LayerState, Protection, Refusal};
pub use session::{Event, Interrupter, Kind, OnEvent, Recovery, Restored, Session, Stream, Usage};
pub use tools::{Approval, Call, Tool, Toolbox};
pub use workspace::{Entry as FileEntry, EntryKind, FileError, Files, Listing};

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
    /// Only rungs hold that are weaker than the policy accepts.
    #[error("{}", too_weak(*weakest, refusals))]
    TooWeak {
        /// The weakest that is accepted.
        weakest: Rung,
        /// Why none of the accepted ones holds.
        refusals: Vec<Refusal>,
    },
    /// An entry of the allow-list makes no sense.
    #[error(transparent)]
    AllowList(proxy::AllowListError),
    /// Snapshots of the workspace cannot be kept.
    #[error("snapshots of the workspace cannot be kept: {0}")]
    Snapshot(String),
    /// A tool could not be defined inside.
    #[error("the tool `{name}` cannot be defined: {reason}")]
    Tool {
        /// The tool.
        name: String,
        /// What Python says.
        reason: String,
    },
    /// The journal of a recorded session does not take more, or cannot be read.
    #[error(transparent)]
    Journal(journal::JournalError),
    /// The journal does not tell of a session.
    #[error(transparent)]
    Replay(journal::ReplayError),
    /// A branch of a session without a journal has none either.
    #[error("this session is not recorded, so its branch cannot be")]
    NotRecorded,
    /// A file could not be put into the workspace.
    #[error(transparent)]
    File(FileError),
    /// This backend cannot do what was asked for.
    #[error("{backend} cannot {what}\nhint: the sandbox can: leave out what chose {backend}")]
    Unsupported {
        /// `a Jupyter kernel`.
        backend: &'static str,
        /// What was asked for: `take cells back`.
        what: &'static str,
    },
    /// The processes of a branch are gone.
    #[error("the branch cannot go on: {0}")]
    Branch(String),
    /// There is no such point in the history.
    #[error("there is no cell {at}: the session has {count} that can be undone")]
    NoSuchCell {
        /// What was asked for.
        at: usize,
        /// Cells that there are.
        count: usize,
    },
    /// A Jupyter kernel cannot be found, started or used.
    #[cfg(feature = "jupyter")]
    #[error(transparent)]
    Kernel(jupyter::KernelError),
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
    /// Whether what was asked for is at fault, rather than this machine.
    pub fn is_bad_input(&self) -> bool {
        match self {
            SandboxError::NoPython { .. }
            | SandboxError::OldPython { .. }
            | SandboxError::Workspace { .. }
            | SandboxError::CellTooLarge { .. }
            | SandboxError::AllowList(_)
            | SandboxError::Tool { .. }
            | SandboxError::Journal(_)
            | SandboxError::Replay(_)
            | SandboxError::NotRecorded
            | SandboxError::File(_)
            | SandboxError::Unsupported { .. }
            | SandboxError::NoSuchCell { .. } => true,
            #[cfg(feature = "jupyter")]
            SandboxError::Kernel(error) => error.is_bad_input(),
            SandboxError::NoStart { .. }
            | SandboxError::TooWeak { .. }
            | SandboxError::Snapshot(_)
            | SandboxError::Branch(_)
            | SandboxError::System { .. } => false,
        }
    }

    fn system(action: &'static str) -> impl Fn(std::io::Error) -> SandboxError {
        move |source| SandboxError::System { action, source }
    }

    /// With what was refused before.
    fn after(self, earlier: &[Refusal]) -> SandboxError {
        match self {
            SandboxError::TooWeak { weakest, refusals } => {
                SandboxError::TooWeak { weakest, refusals: [earlier, &refusals].concat() }
            }
            other => other,
        }
    }
}

fn too_weak(weakest: Rung, refusals: &[Refusal]) -> String {
    let reasons: String = refusals
        .iter()
        .map(|refusal| format!("\n  {} ({}): {}", refusal.rung.letter(), refusal.rung.name(), refusal.reason))
        .collect();
    let way_out = match weakest {
        Rung::Root | Rung::User => "allow user namespaces (how: README.md, `Safety`), or accept less: `--sandbox weak`",
        Rung::Weak => "use a kernel with Landlock, or run without protection, which only a throw-away machine is for",
        Rung::None => "see the reasons above",
    };
    format!("no sandbox of rung {} or better holds on this machine{reasons}\nhint: {way_out}", weakest.letter())
}
