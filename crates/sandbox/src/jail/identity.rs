//! Who a session runs as: user namespaces, their maps, and private ids when the host is root.

use super::calls;
use rustix::process::{Gid, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets, UnshareFlags};
use std::io;

/// Id of cells as they see it.
pub(crate) const CELL_ID: u32 = 1000;
/// Id of the first process of a session, as cells see it, where it is not their own.
pub(crate) const INIT_ID: u32 = 1;

/// Ids of a launcher of root: the launcher itself has the first.
pub(crate) const RANGE: u32 = 65_536;
/// Id, in that range, of all cells that share a folder of the host.
const SHARED_CELL: u32 = RANGE - 1;
const RANGE_START: u32 = 600_000_000;
const RANGE_COUNT: u32 = 20_000;

/// How ids of a launcher relate to those of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ids {
    /// The host is root: a range of ids of nobody else, behind a user namespace.
    Range { start: u32 },
    /// The host is root, and user namespaces are switched off: the same range, without one.
    BareRange { start: u32 },
    /// The host is not root: one id in a user namespace.
    Single,
}

/// The pair of ids of one session, in the user namespace of the launcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pair {
    pub init: u32,
    pub cell: u32,
}

impl Ids {
    /// Ids of the `number`th session. Numbers wrap around after half of the range.
    pub(crate) fn pair(self, number: u32, shares_a_folder: bool) -> Pair {
        let init = 1 + number % (RANGE / 2 - 2) * 2;
        let cell = if shares_a_folder { SHARED_CELL } else { init + 1 };
        match self {
            Ids::Range { .. } => Pair { init, cell },
            Ids::BareRange { start } => Pair { init: start + init, cell: start + cell },
            Ids::Single => Pair { init: 0, cell: 0 },
        }
    }

    /// The ids that the session's processes give themselves: after the map of the session's own user namespace.
    pub(crate) fn inside(self, pair: Pair) -> Pair {
        match self {
            Ids::Range { .. } => Pair { init: INIT_ID, cell: CELL_ID },
            Ids::BareRange { .. } => pair,
            Ids::Single => Pair { init: CELL_ID, cell: CELL_ID },
        }
    }

    /// Map of the session's user namespace, for `uid_map` and `gid_map` alike; `None` without one.
    pub(crate) fn session_map(self, pair: Pair) -> Option<String> {
        match self {
            Ids::Range { .. } => Some(format!("{INIT_ID} {} 1\n{CELL_ID} {} 1\n", pair.init, pair.cell)),
            Ids::BareRange { .. } => None,
            Ids::Single => Some(format!("{CELL_ID} {} 1\n", pair.cell)),
        }
    }

    /// The id of cells as the host sees it; `None`: the host's own.
    pub(crate) fn on_this_machine(self, pair: Pair) -> Option<u32> {
        match self {
            Ids::Range { start } => Some(start + pair.cell),
            Ids::BareRange { .. } => Some(pair.cell),
            Ids::Single => None,
        }
    }

    pub(crate) fn has_user_namespace(self) -> bool {
        !matches!(self, Ids::BareRange { .. })
    }

    /// Namespaces of a session.
    pub(crate) fn namespaces(self, host_network: bool) -> UnshareFlags {
        let mut flags = UnshareFlags::NEWPID
            | UnshareFlags::NEWNS
            | UnshareFlags::NEWIPC
            | UnshareFlags::NEWUTS
            | UnshareFlags::NEWCGROUP;
        flags.set(UnshareFlags::NEWUSER, self.has_user_namespace());
        flags.set(UnshareFlags::NEWNET, !host_network);
        flags
    }
}

/// A range that no other launcher of this machine is likely to have: ranges are taken in turn from the process id on.
pub(crate) fn free_range(launcher: u32) -> u32 {
    RANGE_START + launcher % RANGE_COUNT * RANGE
}

/// The id that cells of a launcher with a shared folder have on the machine.
pub(crate) fn shared_cell(start: u32) -> u32 {
    start + SHARED_CELL
}

/// Write the maps of `pid`, which has just entered a user namespace.
///
/// # Errors
/// EPERM where this process may not give out these ids.
pub(crate) fn write_maps(pid: i32, map: &str, deny_groups: bool) -> io::Result<()> {
    if deny_groups {
        std::fs::write(format!("/proc/{pid}/setgroups"), "deny")?;
    }
    std::fs::write(format!("/proc/{pid}/uid_map"), map)?;
    std::fs::write(format!("/proc/{pid}/gid_map"), map)
}

/// Become `id` and keep all capabilities: files cannot be made by an id that the user namespace does not know.
///
/// # Errors
/// When the kernel refuses a step; the process must not go on then.
pub(crate) fn take_id(id: u32) -> io::Result<()> {
    let all = rustix::thread::capabilities(None)?;
    rustix::thread::set_keep_capabilities(true)?;
    // Refused where groups were denied, which is as good: there are none.
    let _ = rustix::thread::set_thread_groups(&[]);
    let (user, group) = (Uid::from_raw(id), Gid::from_raw(id));
    rustix::thread::set_thread_res_gid(group, group, group)?;
    rustix::thread::set_thread_res_uid(user, user, user)?;
    Ok(rustix::thread::set_capabilities(None, CapabilitySets { effective: all.permitted, ..all })?)
}

/// Give up all capabilities but `kept`.
///
/// # Errors
/// When the kernel refuses a step; the process must not go on then.
pub(crate) fn give_up_rights(kept: CapabilitySet) -> io::Result<()> {
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    Ok(rustix::thread::set_capabilities(None, sets)?)
}

/// Become user 0 of the user namespace that this process is in, with all of its capabilities.
///
/// # Errors
/// When the namespace does not have that user.
pub(crate) fn become_root_inside() -> io::Result<()> {
    rustix::thread::set_thread_groups(&[])?;
    rustix::thread::set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT)?;
    Ok(rustix::thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT)?)
}

/// Whether this process may do what only root may.
pub(crate) fn is_powerful_root() -> bool {
    let has = rustix::thread::capabilities(None).is_ok_and(|sets| {
        sets.effective.contains(CapabilitySet::SYS_ADMIN | CapabilitySet::SETUID | CapabilitySet::SETGID)
    });
    rustix::process::geteuid().is_root() && has
}

/// A user namespace whose map shows files of `owner` as those of `shown`, for an id-mapped mount.
///
/// # Errors
/// Where user namespaces are switched off.
pub(crate) fn map_namespace(owner: (u32, u32), shown: u32) -> io::Result<std::os::fd::OwnedFd> {
    let (ready, waiting) = std::io::pipe()?;
    let pid = calls::fork_into(UnshareFlags::NEWUSER)?;
    if pid == 0 {
        drop(waiting);
        let _ = io::Read::read(&mut &ready, &mut [0]); // until the parent has opened the namespace
        calls::exit(0);
    }
    let opened = std::fs::write(format!("/proc/{pid}/uid_map"), format!("{} {shown} 1\n", owner.0))
        .and_then(|()| std::fs::write(format!("/proc/{pid}/gid_map"), format!("{} {shown} 1\n", owner.1)))
        .and_then(|()| std::fs::File::open(format!("/proc/{pid}/ns/user")));
    drop(waiting);
    let _ = rustix::process::waitpid(rustix::process::Pid::from_raw(pid), rustix::process::WaitOptions::empty());
    Ok(opened?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_a_session_lie_in_the_range_and_differ() {
        let ids = Ids::Range { start: free_range(77) };
        for number in [0, 1, 2, 32_765, 32_766, u32::MAX] {
            let pair = ids.pair(number, false);
            assert!(0 < pair.init && pair.init < pair.cell && pair.cell < SHARED_CELL, "{pair:?}");
        }
        assert_eq!(ids.inside(ids.pair(3, false)), Pair { init: INIT_ID, cell: CELL_ID });
    }

    #[test]
    fn no_range_reaches_root_or_the_sign_bit() {
        assert!(free_range(u32::MAX) >= RANGE_START);
        assert!(RANGE_START as u64 + u64::from(RANGE_COUNT) * u64::from(RANGE) < 1 << 31);
    }
}
