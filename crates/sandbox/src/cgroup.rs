//! Control groups: what a session's processes may use together, and a way to end them all.
//!
//! Linux has two versions of control groups, and some hosts run both. A [`Group`] is one folder in each hierarchy
//! that has a controller it needs; what a host does not offer is reported, not an error. Names carry the process that
//! made them, so that [`sweep`] can tell what a host that died left behind.

mod delegation;
mod hierarchy;
mod stale;

use hierarchy::{Hierarchy, Version};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What the processes of one group may use together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Memory, with the file pages and the tmpfs files they have written. Swap is not given on top.
    pub memory_bytes_max: u64,
    /// Processes and threads.
    pub processes_max: u64,
    /// 100: one processor, all the time.
    pub cpu_percent_max: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resource {
    Memory,
    Processes,
    Cpu,
    /// Ending all processes in one step. Without it [`Group::kill`] goes round until none is left.
    Kill,
}

impl Resource {
    fn controller(self) -> Option<&'static str> {
        match self {
            Resource::Memory => Some("memory"),
            Resource::Processes => Some("pids"),
            Resource::Cpu => Some("cpu"),
            Resource::Kill => None,
        }
    }
}

/// What a group does not hold on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Missing {
    pub what: Resource,
    pub reason: String,
}

/// The control group of a session. Dropping it ends what is in it.
#[derive(Debug)]
pub(crate) struct Group {
    /// One in each hierarchy.
    folders: Vec<PathBuf>,
    processes_max: Option<u64>,
}

/// How long the kernel may take to clear away killed processes.
const PATIENCE: Duration = Duration::from_secs(1);
const CPU_PERIOD_MICROSECONDS: u64 = 100_000;

impl Group {
    /// A group with as many of the limits as this host offers, and the list of the others.
    ///
    /// Where version 2 says that a group with processes passes nothing on, this process moves into a child of its
    /// group, if it is alone there: call this before starting others.
    pub(crate) fn create(limits: &Limits) -> (Group, Vec<Missing>) {
        Group::create_in(&hierarchy::discover(), &stale::new_name(), limits)
    }

    fn create_in(hierarchies: &[Hierarchy], name: &str, limits: &Limits) -> (Group, Vec<Missing>) {
        let mut wanted = vec![Resource::Memory, Resource::Processes];
        wanted.extend(limits.cpu_percent_max.map(|_| Resource::Cpu));
        let controllers: Vec<_> = wanted.iter().filter_map(|resource| resource.controller()).collect();
        let mut group = Group { folders: Vec::new(), processes_max: Some(limits.processes_max) };
        let mut reasons = Vec::new();
        for hierarchy in hierarchies {
            let is_needed = hierarchy.controllers.iter().any(|name| controllers.contains(&name.as_str()));
            if hierarchy.version == Version::One && !is_needed {
                continue;
            }
            match make(hierarchy, name, &controllers) {
                Ok((folder, notes)) => {
                    group.folders.push(folder);
                    reasons.extend((!notes.is_empty()).then(|| (hierarchy, notes.join("; "))));
                }
                Err(reason) => reasons.push((hierarchy, reason)),
            }
        }
        let mut missing = Vec::new();
        for what in wanted {
            if let Err(reason) = group.limit(what, limits) {
                let refusals = reasons.iter().filter(|(hierarchy, _)| may_hold(hierarchy, what));
                let reasons: Vec<_> = refusals.map(|(_, refusal)| refusal.as_str()).chain([reason.as_str()]).collect();
                missing.push(Missing { what, reason: reasons.join("; ") });
            }
        }
        if group.file("cgroup.kill").is_none() {
            let refusal = reasons.iter().find(|(hierarchy, _)| hierarchy.version == Version::Two);
            let reason = refusal
                .map_or("Linux before 5.14, or no version 2 hierarchy".to_string(), |(_, reason)| reason.clone());
            missing.push(Missing { what: Resource::Kill, reason });
        }
        (group, missing)
    }

    fn limit(&self, what: Resource, limits: &Limits) -> Result<(), String> {
        let set = |name: &str, value: String| {
            let Some(path) = self.file(name) else {
                return Err(format!("no `{}` controller for groups of this process", what.controller().unwrap_or("")));
            };
            write(&path, &value).map_err(|error| format!("{}: {error}", path.display()))
        };
        match what {
            Resource::Memory if self.file("memory.max").is_some() => {
                set("memory.max", limits.memory_bytes_max.to_string())?;
                // The file is absent on a kernel without swap.
                let _ = set("memory.swap.max", "0".to_string());
                Ok(())
            }
            Resource::Memory => {
                set("memory.limit_in_bytes", limits.memory_bytes_max.to_string())?;
                // Memory and swap together; absent unless the kernel counts swap. Then at least swap nothing early.
                set("memory.memsw.limit_in_bytes", limits.memory_bytes_max.to_string())
                    .or_else(|_| set("memory.swappiness", "0".to_string()))
            }
            Resource::Processes => set("pids.max", limits.processes_max.to_string()),
            Resource::Cpu => {
                let Some(percent) = limits.cpu_percent_max else {
                    return Ok(());
                };
                let quota = u64::from(percent.max(1)) * CPU_PERIOD_MICROSECONDS / 100;
                if self.file("cpu.max").is_some() {
                    return set("cpu.max", format!("{quota} {CPU_PERIOD_MICROSECONDS}"));
                }
                set("cpu.cfs_period_us", CPU_PERIOD_MICROSECONDS.to_string())?;
                set("cpu.cfs_quota_us", quota.to_string())
            }
            Resource::Kill => Ok(()),
        }
    }

    /// `cgroup.procs` of each hierarchy, open for writing: a process that writes `0` to all of them is in the group.
    ///
    /// # Errors
    /// Those of opening the files.
    pub(crate) fn procs(&self) -> io::Result<Vec<OwnedFd>> {
        let open = |folder: &PathBuf| std::fs::OpenOptions::new().write(true).open(folder.join("cgroup.procs"));
        self.folders.iter().map(|folder| Ok(open(folder)?.into())).collect()
    }

    /// Memory in use now.
    pub(crate) fn memory_bytes(&self) -> Option<u64> {
        self.number("memory.current").or_else(|| self.number("memory.usage_in_bytes"))
    }

    /// Processes killed because memory ran out.
    pub(crate) fn out_of_memory_kills(&self) -> u64 {
        let text = self.text("memory.events").or_else(|| self.text("memory.oom_control")).unwrap_or_default();
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        count.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
    }

    /// Processes and threads in it now.
    pub(crate) fn processes(&self) -> Option<u64> {
        self.number("pids.current")
    }

    /// Kill everything in the group; returns when it is gone, or after a second. The group
    /// can be used again.
    pub(crate) fn kill(&self) {
        if self.is_empty() {
            return;
        }
        if let Some(path) = self.file("cgroup.kill") {
            // What this does not reach, the rounds below do.
            let _ = write(&path, "1");
        }
        let started = Instant::now();
        while !self.is_empty() && started.elapsed() < PATIENCE {
            // No new ones while the rounds last.
            self.bound_processes(0);
            self.folders.iter().for_each(|folder| kill_members(folder));
            std::thread::sleep(Duration::from_millis(1));
        }
        if let Some(processes_max) = self.processes_max {
            self.bound_processes(processes_max);
        }
    }

    fn bound_processes(&self, processes_max: u64) {
        if let Some(path) = self.file("pids.max") {
            // It was set when the group was made, or is missing and reported.
            let _ = write(&path, &processes_max.to_string());
        }
    }

    fn is_empty(&self) -> bool {
        self.folders.iter().all(|folder| members(folder).is_empty())
    }

    /// The file of this name, in whichever hierarchy has it.
    fn file(&self, name: &str) -> Option<PathBuf> {
        self.folders.iter().map(|folder| folder.join(name)).find(|path| path.exists())
    }

    fn text(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.file(name)?).ok()
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.trim().parse().ok()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
        let started = Instant::now();
        // Killed processes still count until the kernel is done with them. What stays, the next host sweeps.
        self.folders.retain(|folder| !remove(folder));
        while !self.folders.is_empty() && started.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(1));
            self.folders.retain(|folder| !remove(folder));
        }
    }
}

/// Remove the groups of hosts that no longer live, and kill what is in them.
pub(crate) fn sweep() {
    stale::sweep();
}

/// A name that nothing else on this machine has, and that tells which process it is of.
pub(crate) fn new_name() -> String {
    stale::new_name()
}

/// Whether `name` was made by [`new_name`] in a process that has ended for certain.
pub(crate) fn is_of_the_dead(name: &str) -> bool {
    stale::is_of_the_dead(name)
}

/// Make the folder of a group in a hierarchy; also says what kept it from having more controllers.
fn make(hierarchy: &Hierarchy, name: &str, controllers: &[&'static str]) -> Result<(PathBuf, Vec<String>), String> {
    let (parent, notes) = match hierarchy.version {
        Version::One => (hierarchy.own.clone(), Vec::new()),
        Version::Two => delegation::parent_for_groups(&hierarchy.own, &hierarchy.top, controllers)?,
    };
    let folder = parent.join(name);
    std::fs::create_dir(&folder).map_err(|error| format!("{}: {error}", parent.display()))?;
    Ok((folder, notes))
}

fn may_hold(hierarchy: &Hierarchy, what: Resource) -> bool {
    let controller = what.controller().unwrap_or("");
    hierarchy.version == Version::Two || hierarchy.controllers.iter().any(|name| name == controller)
}

/// Write to a file that exists: the kernel's errors come from one write of the whole text.
fn write(path: &Path, text: &str) -> io::Result<()> {
    use io::Write;
    std::fs::OpenOptions::new().write(true).open(path)?.write_all(text.as_bytes())
}

/// The processes in a group. Those of another process id namespace show as 0 and are left out.
fn members(folder: &Path) -> BTreeSet<i32> {
    let text = std::fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 0).collect()
}

/// Kill what is in a group now.
fn kill_members(folder: &Path) {
    let open = |pid: i32| Some((pid, pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?));
    let processes: Vec<_> = members(folder).into_iter().filter_map(open).collect();
    // An id may have gone to somebody else between reading and opening it, but not after.
    let still = members(folder);
    for (_, process) in processes.iter().filter(|(pid, _)| still.contains(pid)) {
        // It may have ended by itself.
        let _ = pidfd_send_signal(process, Signal::KILL);
    }
}

/// Whether the group is gone.
fn remove(folder: &Path) -> bool {
    match std::fs::remove_dir(folder) {
        Ok(()) => true,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

#[cfg(test)]
mod tests;
