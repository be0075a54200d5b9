//! What a caller may ask for: limits of a cell, the interpreter, the workspace.

use std::path::PathBuf;

/// Upper bounds on what a session uses. The per-process ones hold for every process that a cell starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Wall-clock time of one cell in milliseconds. Then the cell is interrupted, and 2 s later killed.
    pub wall_ms_max: u64,
    /// Private writable memory in bytes, per process.
    pub memory_bytes_max: u64,
    /// Bytes kept of stdout and of stderr of one cell, each: the first and the last half.
    pub output_bytes_max: usize,
    /// Processes and threads alive at once. Not enforced by Linux for the root user.
    pub processes_max: u64,
    /// Size in bytes of any one file.
    pub file_bytes_max: u64,
    /// CPU time in seconds, per process, over its whole life: bounds what outlives its cell.
    pub cpu_seconds_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            wall_ms_max: 30_000,
            memory_bytes_max: 2 << 30,
            output_bytes_max: 64 << 10,
            processes_max: 256,
            file_bytes_max: 256 << 20,
            cpu_seconds_max: 3600,
        }
    }
}

/// How to start a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Name on the PATH, or path, of CPython 3.10 or newer. Launcher scripts (pyenv) are looked through.
    pub python: PathBuf,
    /// Bounds on what a session uses.
    pub limits: Limits,
    /// The folder cells start in and may write to. `None`: a private one, removed with the session.
    pub workspace: Option<PathBuf>,
}

impl Default for Policy {
    fn default() -> Self {
        Policy { python: PathBuf::from("python3"), limits: Limits::default(), workspace: None }
    }
}
