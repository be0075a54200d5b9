//! Which layers hold, as data: filled from what the confined process reported about itself.

use crate::confine::{Identity, NOT_TRIED, Report, Step};
use crate::process::{Place, Process};

/// A kind of harm that the sandbox stands against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// No connection to this machine or to others.
    Network,
    /// Files: the system and Python can be read, the workspace and a private temporary folder written, nothing else.
    Filesystem,
    /// No signals to processes outside.
    Signals,
    /// Another user than the host's, or at least not a powerful one.
    Identity,
    /// Set-user-id programs give nothing.
    Privileges,
    /// Memory, CPU time, file size and open files of each process are bounded.
    Resources,
    /// The number of processes is bounded.
    Processes,
    /// The interpreter dies with the host.
    ParentDeath,
}

/// One layer on this host.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct LayerState {
    /// Which one.
    pub layer: Layer,
    /// Whether it holds.
    pub holds: bool,
    /// By what means, or why not.
    pub detail: String,
}

/// What stands between a cell and this machine.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Protection {
    /// Every layer, holding or not.
    pub layers: Vec<LayerState>,
    /// What is not protected even where all layers hold.
    pub gaps: Vec<String>,
}

const GAPS: &[&str] = &[
    "no PID namespace: process ids of the host can be probed",
    "no system call filter: bugs of the kernel are within reach",
    "limits hold per process, not for all of them together; the total disk use is not bounded",
    "names and sizes of files outside can be asked for, but not their content",
    "/dev/shm is shared with the host (multiprocessing needs it)",
];

impl Protection {
    /// Whether `layer` holds.
    pub fn holds(&self, layer: Layer) -> bool {
        self.layers.iter().any(|state| state.layer == layer && state.holds)
    }

    pub(crate) fn of(process: &Process, place: &Place) -> Protection {
        let report = &process.report;
        let state = |layer, holds, detail: String| LayerState { layer, holds, detail };
        let step = |layer, step, means: &str| {
            let detail = if report.holds(step) { means.to_string() } else { refusal(report, step) };
            state(layer, report.holds(step), detail)
        };
        let fence_abi = process.fence_abi.filter(|_| report.holds(Step::Fence)).unwrap_or(0);
        let (identity_holds, identity_detail) = identity(report, place);
        let layers = vec![
            step(Layer::Network, Step::Namespaces, "own network namespace without any interface up"),
            fence(Layer::Filesystem, fence_abi, 3),
            fence(Layer::Signals, fence_abi, 6),
            state(Layer::Identity, identity_holds, identity_detail),
            step(Layer::Privileges, Step::NoNewPrivileges, "no_new_privs"),
            step(Layer::Resources, Step::Limits, "resource limits per process"),
            step(Layer::Processes, Step::Processes, "resource limit of its own user or namespace"),
            step(
                Layer::ParentDeath,
                Step::ParentDeath,
                "killed with the host; what it started in the background is not",
            ),
        ];
        let mut gaps: Vec<String> = GAPS.iter().map(|gap| (*gap).to_string()).collect();
        if !report.holds(Step::Namespaces) && fence_abi >= 4 {
            gaps.push("TCP is blocked by Landlock, but UDP and Unix sockets are not".to_string());
        }
        if matches!(place.identity, Identity::Same) {
            gaps.push("Unix sockets in the file system that this user may connect to are within reach".to_string());
        }
        Protection { layers, gaps }
    }
}

/// A layer that Landlock gives from version `abi_min` on.
fn fence(layer: Layer, abi: i32, abi_min: i32) -> LayerState {
    let detail = match abi {
        0 => "this kernel has no Landlock".to_string(),
        _ if abi < abi_min => format!("Landlock {abi} of this kernel is not enough; {abi_min} is"),
        _ => format!("Landlock {abi}"),
    };
    LayerState { layer, holds: abi >= abi_min, detail }
}

fn identity(report: &Report, place: &Place) -> (bool, String) {
    if !report.holds(Step::Identity) && place.identity != Identity::Same {
        return (false, format!("still root: {}", refusal(report, Step::Identity)));
    }
    let reason = &place.identity_reason;
    match place.identity {
        Identity::Same => (true, reason.clone()),
        Identity::BareRoot => (false, format!("root without capabilities: {reason}")),
        Identity::User { id, reads_all: false } => (true, format!("user {id}, no capabilities")),
        Identity::User { id, reads_all: true } => (true, format!("user {id}; {reason}")),
    }
}

fn refusal(report: &Report, step: Step) -> String {
    match report.error(step) {
        NOT_TRIED => "not possible for this user on this host".to_string(),
        error => format!("refused by this host: {}", std::io::Error::from_raw_os_error(error)),
    }
}

impl std::fmt::Display for Protection {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for LayerState { layer, holds, detail } in &self.layers {
            let mark = if *holds { "yes" } else { "NO " };
            writeln!(formatter, "{mark} {:<12} {detail}", format!("{layer:?}"))?;
        }
        self.gaps.iter().try_for_each(|gap| writeln!(formatter, "not protected: {gap}"))
    }
}
