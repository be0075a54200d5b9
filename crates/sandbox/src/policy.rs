//! What a caller may ask for: limits, the interpreter, the network, and how weak a protection is still accepted.

use std::path::PathBuf;
use std::sync::Arc;

/// Upper bounds on what a session uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Wall-clock time of one cell in milliseconds. Then it is interrupted, and half a second later killed.
    pub wall_ms_max: u64,
    /// CPU time in seconds of each process, over its whole life: bounds what outlives its cell.
    pub cpu_seconds_max: u64,
    /// Share of the processors in percent, 100 being one core, for all processes together. `None`: no bound.
    pub cpu_percent_max: Option<u32>,
    /// Memory in bytes: of all processes and the disk together where there are cgroups, else of each process.
    pub memory_bytes_max: u64,
    /// Processes and threads alive at once.
    pub processes_max: u64,
    /// Bytes on the session's disk: workspace, temporary files and shared memory.
    pub disk_bytes_max: u64,
    /// Files and folders on it.
    pub disk_files_max: u64,
    /// Bytes kept of stdout and of stderr of one cell, each: the first and the last half.
    pub output_bytes_max: usize,
    /// Bytes of output of one cell that are kept whole, in a file, for people; 0: none.
    pub output_file_bytes_max: u64,
    /// Files that one process may have open.
    pub open_files_max: u64,
    /// States of the interpreter that are kept for undo.
    pub checkpoints_max: usize,
    /// Bytes of memory, and as many on disk for snapshots of the workspace, that undo may cost. Memory is looked at
    /// before each cell, so that one cell more can go beyond; the state before a cell is kept whatever it takes.
    pub checkpoint_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            wall_ms_max: 30_000,
            cpu_seconds_max: 3600,
            cpu_percent_max: None,
            memory_bytes_max: 2 << 30,
            processes_max: 256,
            disk_bytes_max: 512 << 20,
            disk_files_max: 65_536,
            output_bytes_max: 64 << 10,
            output_file_bytes_max: 16 << 20,
            open_files_max: 1024,
            checkpoints_max: 8,
            checkpoint_bytes_max: 1 << 30,
        }
    }
}

/// Whom cells may talk to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Network {
    /// Nobody.
    #[default]
    None,
    /// Processes of the same session, over a loopback of its own.
    Loopback,
    /// The hosts that are named, through an HTTP proxy: `files.example.org`, `*.example.net`, `10.0.0.5:8080`.
    Allow(Vec<String>),
    /// Whomever this machine can reach, and this machine itself.
    Full,
}

/// How much stands between a cell and this machine, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rung {
    /// A: started by root. Namespaces, ids of nobody else, cgroups, Landlock, seccomp.
    Root,
    /// B: started by a user who can make user namespaces. Namespaces, Landlock, seccomp.
    User,
    /// C: Landlock and seccomp only. Processes of the user can be seen, files cannot; there is no quota on the disk.
    Weak,
    /// D: nothing but resource limits.
    None,
}

impl Rung {
    pub(crate) const ALL: [Rung; 4] = [Rung::Root, Rung::User, Rung::Weak, Rung::None];

    /// `A` to `D`.
    pub fn letter(self) -> char {
        ['A', 'B', 'C', 'D'][self as usize]
    }

    /// As in settings: `root`, `user`, `weak`, `none`.
    pub fn name(self) -> &'static str {
        ["root", "user", "weak", "none"][self as usize]
    }

    pub(crate) fn from_name(name: &str) -> Option<Rung> {
        Rung::ALL.into_iter().find(|rung| rung.name() == name)
    }
}

/// How to start a session.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Name on the PATH, or path, of CPython 3.10 or newer. Launcher scripts (pyenv) are looked through.
    pub python: PathBuf,
    /// Modules that are imported once, before the first session. What is not installed is left out.
    pub imports: Vec<String>,
    /// Bounds on what a session uses.
    pub limits: Limits,
    /// Whom cells may talk to.
    pub network: Network,
    /// The folder of the host that cells start in and may write to. `None`: one on the session's own disk.
    pub workspace: Option<PathBuf>,
    /// The weakest protection that is accepted.
    pub weakest: Rung,
    /// The strongest that is tried: for tests, and for machines where a better one holds but does not work.
    pub strongest: Rung,
    /// Functions of the host that cells can call.
    pub tools: Option<Arc<dyn crate::Toolbox>>,
    /// Variables of the environment: `NAME=value`.
    pub environment: Vec<String>,
    /// Seed of the hashes of texts, and so of the order of sets: the same one gives the same order. `None`: drawn anew
    /// with each launcher, as Python does.
    pub hash_seed: Option<u32>,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            python: PathBuf::from("python3"),
            imports: ["numpy", "pandas", "matplotlib.pyplot"].map(str::to_string).to_vec(),
            limits: Limits::default(),
            network: Network::None,
            workspace: None,
            weakest: Rung::User,
            strongest: Rung::Root,
            tools: None,
            environment: Vec::new(),
            hash_seed: None,
        }
    }
}
