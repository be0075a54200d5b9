//! All processes of the session: found, stopped, continued, killed, reaped.

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};
use std::collections::{BTreeMap, BTreeSet};

/// Passes over `/proc` until a set of processes that multiplies has come to rest.
const PASSES_MAX: usize = 200;

/// Where to look for processes of the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Census {
    /// A PID namespace: all there are.
    Namespace,
    /// No namespace: the descendants of this process, to whom orphans are given.
    Descendants,
}

impl Census {
    /// Process ids, without this process.
    pub(super) fn take(self) -> BTreeSet<i32> {
        let own = rustix::process::getpid().as_raw_nonzero().get();
        let Ok(entries) = std::fs::read_dir("/proc") else {
            return BTreeSet::new();
        };
        let all = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let all: BTreeSet<i32> = all.filter(|pid| *pid != own).collect();
        match self {
            Census::Namespace => all,
            Census::Descendants => descendants(own, &all),
        }
    }

    /// Kill all but `kept`, and what they start meanwhile.
    pub(super) fn kill_all_but(self, kept: &BTreeSet<i32>) {
        for pass in 0..PASSES_MAX {
            let others: Vec<i32> = self.take().difference(kept).copied().filter(|pid| !is_zombie(*pid)).collect();
            if others.is_empty() {
                return;
            }
            // Stopped ones cannot multiply while the rest is looked for.
            others.iter().for_each(|pid| signal(*pid, Signal::STOP));
            others.iter().for_each(|pid| signal(*pid, Signal::KILL));
            reap();
            if pass > 2 {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        }
    }

    /// Stop all but `kept`; returns which.
    pub(super) fn stop_all_but(self, kept: &BTreeSet<i32>) -> BTreeSet<i32> {
        let mut stopped = BTreeSet::new();
        for _ in 0..PASSES_MAX {
            let fresh: Vec<i32> = self.take().into_iter().filter(|pid| !kept.contains(pid) && !stopped.contains(pid)).collect();
            if fresh.is_empty() {
                break;
            }
            fresh.iter().for_each(|pid| signal(*pid, Signal::STOP));
            stopped.extend(fresh);
        }
        stopped
    }
}

/// Send a signal to one process. One that has ended meanwhile needs none.
pub(super) fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid).filter(|pid| pid.as_raw_nonzero().get() > 0) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// Collect the children that have ended: process id and status.
pub(super) fn reap() -> Vec<(i32, WaitStatus)> {
    let mut ended = Vec::new();
    while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
        ended.push((pid.as_raw_nonzero().get(), status));
    }
    ended
}

/// "exit code 3" or "signal SIGSEGV".
pub(super) fn describe(status: WaitStatus) -> String {
    const NAMES: &[(i32, &str)] = &[
        (libc::SIGSEGV, "SIGSEGV"),
        (libc::SIGKILL, "SIGKILL"),
        (libc::SIGABRT, "SIGABRT"),
        (libc::SIGILL, "SIGILL"),
        (libc::SIGBUS, "SIGBUS"),
        (libc::SIGFPE, "SIGFPE"),
        (libc::SIGSYS, "SIGSYS: a forbidden system call"),
        (libc::SIGXCPU, "SIGXCPU: out of CPU time"),
        (libc::SIGTERM, "SIGTERM"),
    ];
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (_, Some(signal)) => match NAMES.iter().find(|(number, _)| *number == signal) {
            Some((_, name)) => format!("signal {name}"),
            None => format!("signal {signal}"),
        },
        _ => "unknown status".to_string(),
    }
}

/// Parent and state, behind the name, which may hold anything.
fn stat(pid: i32) -> Option<(String, i32)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut rest = text.rsplit_once(')')?.1.split_whitespace();
    Some((rest.next()?.to_string(), rest.next()?.parse().ok()?))
}

fn is_zombie(pid: i32) -> bool {
    stat(pid).is_none_or(|(state, _)| state == "Z" || state == "X")
}

fn descendants(own: i32, all: &BTreeSet<i32>) -> BTreeSet<i32> {
    let parents: BTreeMap<i32, i32> = all.iter().filter_map(|pid| Some((*pid, stat(*pid)?.1))).collect();
    let is_below = |mut pid: i32| {
        for _ in 0..parents.len() {
            match parents.get(&pid) {
                Some(parent) if *parent == own => return true,
                Some(parent) => pid = *parent,
                None => return false,
            }
        }
        false
    };
    parents.keys().copied().filter(|pid| is_below(*pid)).collect()
}
