//! What stands between a cell and this machine, as data: the rung, why not a better one, and each layer.

use crate::cgroup::{Missing, Resource};
use crate::jail::identity::Ids;
use crate::jail::landlock;
use crate::launcher::client::Launcher;
use crate::policy::{Network, Policy, Rung};
use crate::session::Yard;

/// A kind of harm that the sandbox stands against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// Other machines, and services of this one.
    Network,
    /// Files outside of the workspace.
    Filesystem,
    /// Processes outside can neither be seen nor signalled.
    Signals,
    /// Another user than anybody of this machine.
    Identity,
    /// Set-user-id programs, capabilities, devices.
    Privileges,
    /// Memory of all processes together is bounded.
    Memory,
    /// The number of processes is bounded.
    Processes,
    /// The disk is bounded, in bytes and in files.
    Disk,
    /// Parts of the kernel that programs do not need cannot be reached.
    Syscalls,
    /// Everything a session started ends with it.
    Ending,
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

/// A rung that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Refusal {
    /// Which one.
    pub rung: Rung,
    /// Why.
    pub reason: String,
}

/// What stands between a cell and this machine.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Protection {
    /// The rung that holds.
    pub rung: Rung,
    /// Why the better ones do not.
    pub refusals: Vec<Refusal>,
    /// Every layer, holding or not.
    pub layers: Vec<LayerState>,
    /// Modules that were to be imported beforehand and could not be, each with the reason.
    pub missing_modules: Vec<String>,
}

impl Protection {
    /// Whether `layer` holds.
    pub fn holds(&self, layer: Layer) -> bool {
        self.layers.iter().any(|state| state.layer == layer && state.holds)
    }

    pub(crate) fn of(yard: &Yard, launcher: &Launcher, policy: &Policy, refusals: Vec<Refusal>) -> Protection {
        let rung = launcher.begin.rung;
        let has_namespaces = rung <= Rung::User;
        let fence = if rung == Rung::None { 0 } else { landlock::kernel_version().max(0) };
        let by = |holds: bool, yes: String, no: &str| (holds, if holds { yes } else { no.to_string() });
        let fenced = format!("Landlock {fence}");
        let means = if has_namespaces { format!("namespaces, {fenced}") } else { fenced.clone() };
        let disk = if policy.workspace.is_some() {
            (false, "the workspace is a folder of this machine, without a quota".to_string())
        } else {
            let limits = &policy.limits;
            let quota =
                format!("a disk in memory of {} MiB and {} files", limits.disk_bytes_max >> 20, limits.disk_files_max);
            by(has_namespaces, quota, "no quota: only each file is bounded")
        };
        let layers = [
            (Layer::Network, network(&policy.network, rung)),
            (Layer::Filesystem, by(rung < Rung::None, means.clone(), "everything this user can read and write")),
            (Layer::Signals, by(rung < Rung::None, means, "every process of this user")),
            (Layer::Identity, identity(launcher)),
            (
                Layer::Privileges,
                by(rung < Rung::None, "no_new_privs, no capabilities".to_string(), "those of this user"),
            ),
            (Layer::Memory, memory(yard, policy)),
            (
                Layer::Processes,
                by(has_namespaces, "limit of a user of its own".to_string(), "counted with all processes of this user"),
            ),
            (Layer::Disk, disk),
            (Layer::Syscalls, by(rung < Rung::None, "seccomp".to_string(), "no filter")),
            (
                Layer::Ending,
                by(has_namespaces, "PID namespace".to_string(), "descendants are killed; a killed host leaves them"),
            ),
        ];
        let layers = layers.into_iter().map(|(layer, (holds, detail))| LayerState { layer, holds, detail }).collect();
        Protection { rung, refusals, layers, missing_modules: launcher.missing.clone() }
    }
}

fn network(network: &Network, rung: Rung) -> (bool, String) {
    match (network, rung) {
        (Network::Full, _) => (false, "the network of this machine, as the settings say".to_string()),
        (_, Rung::None) => (false, "nothing stands against it".to_string()),
        (Network::None, Rung::Weak) => (true, "seccomp: no internet sockets".to_string()),
        (_, Rung::Weak) => (false, "a loopback of its own needs namespaces".to_string()),
        (Network::None, _) => (true, "a network namespace with nothing in it, no internet sockets".to_string()),
        (Network::Loopback, _) => (true, "a network namespace with a loopback of its own".to_string()),
        (Network::Allow(hosts), _) => (true, format!("a proxy to {}", hosts.join(", "))),
    }
}

fn identity(launcher: &Launcher) -> (bool, String) {
    match (launcher.begin.rung, launcher.begin.ids) {
        (Rung::Root, Ids::Range { .. }) => (true, "ids of nobody else, in a user namespace".to_string()),
        (Rung::Root, _) => (true, "ids of nobody else".to_string()),
        (Rung::User, _) => (true, "this user, without rights, in a user namespace".to_string()),
        _ => (false, "this user".to_string()),
    }
}

fn memory(yard: &Yard, policy: &Policy) -> (bool, String) {
    let megabytes = policy.limits.memory_bytes_max >> 20;
    match yard.missing.iter().find(|missing| missing.what == Resource::Memory) {
        None => (true, format!("cgroup: {megabytes} MiB for all processes together")),
        Some(Missing { reason, .. }) => (false, format!("{megabytes} MiB for each process; no cgroup: {reason}")),
    }
}

impl std::fmt::Display for Protection {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rung = self.rung;
        writeln!(formatter, "rung {} ({})", rung.letter(), rung.name())?;
        for Refusal { rung, reason } in &self.refusals {
            writeln!(formatter, "not {} ({}): {reason}", rung.letter(), rung.name())?;
        }
        for LayerState { layer, holds, detail } in &self.layers {
            let mark = if *holds { "yes" } else { "NO " };
            writeln!(formatter, "{mark} {:<12} {detail}", format!("{layer:?}"))?;
        }
        Ok(())
    }
}
