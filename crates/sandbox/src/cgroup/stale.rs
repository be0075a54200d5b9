//! Groups of hosts that no longer live: how they are told apart, and their end.

use super::Group;
use super::hierarchy::{self, Hierarchy};
use std::collections::VecDeque;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// More folders than a machine full of containers has; the walk ends there.
const FOLDERS_MAX: usize = 8192;

/// Who made a group. Process ids mean something only within their namespace, and come back after a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Maker {
    pub namespace: u64,
    pub pid: i32,
    /// In clock ticks since boot.
    pub start_time: u64,
}

impl Maker {
    /// This process; `None` without a `/proc` of its own process id namespace.
    pub(super) fn this() -> Option<Maker> {
        let pid = i32::try_from(std::process::id()).ok()?;
        let is_own = std::fs::read_link("/proc/self").ok()?.as_os_str() == pid.to_string().as_str();
        let namespace = std::fs::metadata("/proc/self/ns/pid").ok()?.ino();
        Some(Maker { namespace, pid, start_time: start_time(pid).filter(|_| is_own)? })
    }

    /// `codeact-<namespace>-<pid>-<start time>-<number>`
    pub(super) fn name(&self, number: u64) -> String {
        format!("codeact-{}-{}-{}-{number}", self.namespace, self.pid, self.start_time)
    }

    pub(super) fn of(name: &str) -> Option<Maker> {
        let mut fields = name.strip_prefix("codeact-")?.split('-');
        let mut next = || fields.next().filter(|field| field.bytes().all(|byte| byte.is_ascii_digit()));
        let maker =
            Maker { namespace: next()?.parse().ok()?, pid: next()?.parse().ok()?, start_time: next()?.parse().ok()? };
        next()?.parse::<u64>().ok()?;
        (maker.pid > 0 && fields.next().is_none()).then_some(maker)
    }

    /// Whether it ended for certain, as seen from `this`.
    fn is_dead(&self, this: &Maker) -> bool {
        if self.namespace != this.namespace {
            return false;
        }
        match start_time(self.pid) {
            Some(start_time) => start_time != self.start_time,
            // A `/proc` may hide what belongs to others; the kernel still says whether the id is taken.
            None => rustix::process::Pid::from_raw(self.pid)
                .is_some_and(|pid| rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH)),
        }
    }
}

/// A name that no other group has.
pub(super) fn new_name() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    // Without /proc nothing is known of any group, and so no host sweeps this one: its namespace is 0.
    let unknown = || Maker { namespace: 0, pid: std::process::id() as i32, start_time: 0 };
    Maker::this().unwrap_or_else(unknown).name(COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Whether the process that made `name` has ended for certain.
pub(super) fn is_of_the_dead(name: &str) -> bool {
    Maker::of(name).zip(Maker::this()).is_some_and(|(maker, this)| maker.is_dead(&this))
}

pub(super) fn sweep() {
    if let Some(this) = Maker::this() {
        hierarchy::discover().iter().for_each(|hierarchy| sweep_hierarchy(hierarchy, &this));
    }
}

/// Hosts make their groups near their own, wherever that was: the whole hierarchy is looked through.
pub(super) fn sweep_hierarchy(hierarchy: &Hierarchy, this: &Maker) {
    let mut folders = VecDeque::from([hierarchy.top.clone()]);
    let mut count = 0;
    while let Some(folder) = folders.pop_front().filter(|_| count < FOLDERS_MAX) {
        count += 1;
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue; // not ours to see, or gone
        };
        for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            match entry.file_name().to_str().and_then(Maker::of) {
                // Dropping the group ends it.
                Some(maker) if maker.is_dead(this) => {
                    drop(Group { folders: vec![entry.path()], processes_max: None });
                }
                Some(_) => {}
                None => folders.push_back(entry.path()),
            }
        }
    }
}

/// Field 22 of `/proc/<pid>/stat` (man 5 proc). The second field, in brackets, may hold anything.
pub(super) fn start_time(pid: i32) -> Option<u64> {
    let text = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
    text.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_who_made_the_group() {
        let maker = Maker { namespace: 4_026_531_836, pid: 1234, start_time: 99 };
        assert_eq!(maker.name(7), "codeact-4026531836-1234-99-7");
        assert_eq!(Maker::of(&maker.name(7)), Some(maker));
        for name in [
            "codeact-host",
            "codeact-1-2-3",
            "codeact-1-2-3-",
            "codeact-1-2-3-4-5",
            "codeact-1--2-3-4",
            "codeact-1-+2-3-4",
            "codeact-1-0-3-4",
            "codeact-1-99999999999-3-4",
            "xcodeact-1-2-3-4",
            "codeact-1-2-3-x",
            "",
        ] {
            assert_eq!(Maker::of(name), None, "{name}");
        }
        let own = Maker::this().unwrap();
        assert_eq!(Maker::of(&new_name()), Some(own));
        assert_ne!(new_name(), new_name());
    }

    #[test]
    fn only_the_dead_of_the_same_namespace_are_dead() {
        let this = Maker::this().unwrap();
        assert!(!this.is_dead(&this));
        assert!(Maker { start_time: this.start_time + 1, ..this }.is_dead(&this), "another process had the id");
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id() as i32;
        child.wait().unwrap();
        let ended = Maker { pid, start_time: this.start_time, ..this };
        assert!(ended.is_dead(&this));
        assert!(!Maker { namespace: this.namespace + 1, ..ended }.is_dead(&this));
    }

    #[test]
    fn start_times_come_from_behind_the_name_of_the_program() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = child.id() as i32;
        // The name of a program may look like the rest of the line.
        let renamed = std::fs::write(format!("/proc/{pid}/comm"), "a) R 1 (2)");
        let time = start_time(pid);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(time >= start_time(std::process::id() as i32), "{renamed:?}");
        assert_eq!(start_time(pid).filter(|later| Some(*later) == time), None);
    }
}
