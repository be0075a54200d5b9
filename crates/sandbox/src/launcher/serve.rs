//! The launcher: it walks into namespaces, starts the zygote, and then opens one session after the other.

use super::open::open;
use super::request::{Begin, Open};
use super::zygote::Zygote;
use crate::jail::identity::{self, Ids};
use crate::jail::{calls, root};
use crate::policy::Rung;
use crate::wire::fields::Writer;
use crate::wire::packet;
use rustix::process::{DumpableBehavior, WaitOptions};
use rustix::thread::{CapabilitySet, UnshareFlags};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// A launcher that has begun.
#[derive(Debug)]
pub(super) struct Launcher {
    pub begin: Begin,
    /// Where there are namespaces to fork it into. Else every session starts its own Python.
    pub zygote: Option<Zygote>,
}

/// Serve the host until it is gone.
pub(super) fn run(host: OwnedFd) {
    let begun = calls::let_go_of_the_host()
        .map_err(|error| format!("closing inherited files: {error}"))
        .and_then(|()| begin(&host));
    let mut launcher = match begun {
        Ok((launcher, answer)) => {
            let _ = packet::send(&host, &answer, &[]);
            launcher
        }
        Err(error) => {
            let _ = packet::send(&host, &Writer::default().put("error", error).finish(), &[]);
            return;
        }
    };
    while let Ok((bytes, fds)) = packet::receive_packet(&host) {
        let answer = match Open::decode(&bytes) {
            Some(request) => open(&mut launcher, &request, fds),
            None => Err("not a request".to_string()),
        };
        let sent = match &answer {
            Ok(opened) => {
                let fds: Vec<BorrowedFd<'_>> = opened.fds.iter().map(AsFd::as_fd).collect();
                packet::send(&host, &opened.answer, &fds)
            }
            Err(error) => packet::send(&host, &Writer::default().put("error", error).finish(), &[]),
        };
        if sent.is_err() {
            return;
        }
        while let Ok(Some(_)) = rustix::process::wait(WaitOptions::NOHANG) {}
    }
}

fn begin(host: &OwnedFd) -> Result<(Launcher, Vec<u8>), String> {
    let (bytes, _) = packet::receive_packet(host).map_err(|error| error.to_string())?;
    let begin = Begin::decode(&bytes).ok_or("not a request")?;
    match begin.rung {
        Rung::Root => enter_as_root(&begin, host)?,
        Rung::User => enter_as_user(&begin)?,
        Rung::Weak | Rung::None => {
            return Ok((Launcher { begin, zygote: None }, Writer::default().number("ok", 1).finish()));
        }
    }
    // A change of user made this process unreadable to its own /proc entries, which it needs to write maps.
    let dumpable = rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable);
    dumpable.map_err(|error| format!("staying readable: {error}"))?;
    let (zygote, answer) = Zygote::start(&begin)?;
    Ok((Launcher { begin, zygote: Some(zygote) }, answer))
}

/// The namespaces that the launcher and the zygote share.
const SHARED: UnshareFlags =
    UnshareFlags::NEWNS.union(UnshareFlags::NEWNET).union(UnshareFlags::NEWIPC).union(UnshareFlags::NEWUTS);

/// The tree is built with the rights of root, who can reach every folder, and then root is left behind.
fn enter_as_root(begin: &Begin, host: &OwnedFd) -> Result<(), String> {
    let (Ids::Range { start } | Ids::BareRange { start }) = begin.ids else {
        return Err("root needs a range of ids".to_string());
    };
    let map = match begin.owner {
        Some(owner) => Some(
            identity::map_namespace(owner, identity::shared_cell(start))
                .map_err(|error| format!("making a user namespace: {error}"))?,
        ),
        None => None,
    };
    calls::unshare(UnshareFlags::NEWNS).map_err(|error| format!("making a mount namespace: {error}"))?;
    root::enter(&plan(begin, map))?;
    let mut namespaces = SHARED;
    namespaces.set(UnshareFlags::NEWNET, !begin.host_network);
    namespaces.set(UnshareFlags::NEWUSER, begin.ids.has_user_namespace());
    calls::unshare(namespaces).map_err(|error| format!("making namespaces: {error}"))?;
    if begin.ids.has_user_namespace() {
        // Only a process outside may write a map of many ids.
        packet::send(host, &Writer::default().put("map", "").finish(), &[]).map_err(|error| error.to_string())?;
        packet::receive_packet(host).map_err(|error| format!("waiting for the map of ids: {error}"))?;
        identity::become_root_inside().map_err(|error| format!("becoming root of the namespace: {error}"))?;
    }
    Ok(())
}

fn enter_as_user(begin: &Begin) -> Result<(), String> {
    make_namespaces_as_user(begin).map_err(|reason| explained(reason, Path::new("/proc/sys")))?;
    root::enter(&plan(begin, None))
}

fn make_namespaces_as_user(begin: &Begin) -> Result<(), String> {
    let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let mut namespaces = SHARED | UnshareFlags::NEWUSER;
    namespaces.set(UnshareFlags::NEWNET, !begin.host_network);
    calls::unshare(namespaces).map_err(|error| format!("making namespaces: {error}"))?;
    let own = rustix::process::getpid().as_raw_nonzero().get();
    std::fs::write(format!("/proc/{own}/setgroups"), "deny")
        .and_then(|()| std::fs::write(format!("/proc/{own}/uid_map"), format!("0 {user} 1\n")))
        .and_then(|()| std::fs::write(format!("/proc/{own}/gid_map"), format!("0 {group} 1\n")))
        .map_err(|error| format!("mapping the user: {error}"))?;
    let has = rustix::thread::capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN));
    if !has {
        return Err("user namespaces of this machine give no rights".to_string());
    }
    Ok(())
}

/// `reason` with the setting that refuses user namespaces, if one in the folder `settings` says that it does.
fn explained(reason: String, settings: &Path) -> String {
    let refusing = [
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "AppArmor gives them to programs with a profile only"),
        ("kernel/unprivileged_userns_clone", "0", "only root may make them"),
        ("user/max_user_namespaces", "0", "nobody may make them"),
    ];
    let found = refusing
        .into_iter()
        .find(|(name, value, _)| std::fs::read_to_string(settings.join(name)).is_ok_and(|text| text.trim() == *value));
    match found {
        Some((name, value, meaning)) => format!("{reason}: {}={value}, {meaning}", name.replace('/', ".")),
        None => reason,
    }
}

fn plan(begin: &Begin, map: Option<OwnedFd>) -> root::Plan {
    root::Plan {
        readable: begin.readable.iter().cloned().chain([begin.python.clone()]).collect(),
        workspace: begin.workspace.clone().map(|path| (path, map)),
        scratch: begin.scratch.clone(),
        host_network: begin.host_network,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_that_refuses_namespaces_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let set = |name: &str, value: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, value).unwrap();
        };
        let explained = || explained("mapping the user: EPERM".to_string(), folder.path());
        assert_eq!(explained(), "mapping the user: EPERM");
        set("user/max_user_namespaces", "63000\n");
        set("kernel/apparmor_restrict_unprivileged_userns", "0\n");
        assert_eq!(explained(), "mapping the user: EPERM");
        set("kernel/apparmor_restrict_unprivileged_userns", "1\n");
        let text = "mapping the user: EPERM: kernel.apparmor_restrict_unprivileged_userns=1, \
                    AppArmor gives them to programs with a profile only";
        assert_eq!(explained(), text);
    }
}
