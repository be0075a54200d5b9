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
            let others: Vec<i32> = self
                .take()
                .difference(kept)
                .copied()
                .filter(|pid| Stat::of(*pid).is_some_and(|stat| !stat.is_over))
                .collect();
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
            let fresh: Vec<i32> =
                self.take().into_iter().filter(|pid| !kept.contains(pid) && !stopped.contains(pid)).collect();
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

/// What `/proc/PID/stat` tells.
#[derive(Debug, Clone, Copy)]
struct Stat {
    parent: i32,
    /// No instruction of it will run any more. The kernel may still be clearing up after it, which takes milliseconds
    /// where there is much memory.
    is_over: bool,
}

/// `PF_EXITING`: the thread has begun to end, and does not come back from that.
const EXITING: u32 = 4;

impl Stat {
    fn of(pid: i32) -> Option<Stat> {
        Stat::parse(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(text: &str) -> Option<Stat> {
        // The name may hold anything, spaces and brackets as well.
        let rest: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let state = *rest.first()?;
        let (flags, threads): (u32, u32) = (rest.get(6)?.parse().ok()?, rest.get(17)?.parse().ok()?);
        let is_over = matches!(state, "Z" | "X") || (flags & EXITING != 0 && threads <= 1);
        Some(Stat { parent: rest.get(1)?.parse().ok()?, is_over })
    }
}

fn descendants(own: i32, all: &BTreeSet<i32>) -> BTreeSet<i32> {
    let parents: BTreeMap<i32, i32> = all.iter().filter_map(|pid| Some((*pid, Stat::of(*pid)?.parent))).collect();
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

#[cfg(test)]
mod tests {
    use super::*;

    const REST: &str = "3 7 7 0 -1 FLAGS 1 2 3 4 5 6 7 8 20 0 THREADS 0 99";

    fn is_over(state: &str, flags: &str, threads: &str) -> bool {
        let rest = REST.replace("FLAGS", flags).replace("THREADS", threads);
        let stat = Stat::parse(&format!("12 (a) Z 9) {state} {rest}\n")).unwrap();
        assert_eq!(stat.parent, 3);
        stat.is_over
    }

    #[test]
    fn a_process_is_over_once_its_last_thread_ends() {
        assert!(!is_over("R", "4194304", "1"));
        assert!(is_over("Z", "4194304", "0"));
        assert!(is_over("R", "4194308", "1"));
        assert!(!is_over("R", "4194308", "2"), "another thread may be writing a file");
        let own = Stat::of(std::process::id() as i32).unwrap();
        assert!(!own.is_over);
    }
}
