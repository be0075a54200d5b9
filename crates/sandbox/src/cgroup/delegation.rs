//! Where in a version 2 hierarchy this process may make groups that have controllers.
//!
//! Two rules of version 2 decide. A group passes controllers on to its children only while no process is in itself;
//! and a process may be moved only by somebody who may write to the nearest group above both its old and new place.
//! So the own group serves when this process is alone in it, and can step aside into a child. Otherwise one of the
//! groups above has to be open to this user, as systemd makes those of a user's own service manager.

use std::io;
use std::path::{Path, PathBuf};

/// The child that this process steps aside into.
const ASIDE: &str = "codeact-host";

/// A group that can hold the groups of sessions.
#[derive(Debug)]
struct Candidate {
    folder: PathBuf,
    /// Those of the wanted controllers that its children can have.
    controllers: Vec<&'static str>,
    /// This process has to leave it first.
    occupied: bool,
    /// Why it has fewer controllers than it could.
    reason: Option<String>,
}

/// The folder to make groups in, where those wanted controllers that can be switched on have been, and what was wrong
/// with the others.
///
/// # Errors
/// Why there is none, for a person.
pub(super) fn parent_for_groups(
    own: &Path,
    top: &Path,
    wanted: &[&'static str],
) -> Result<(PathBuf, Vec<String>), String> {
    let is_aside = own.file_name().is_some_and(|name| name == ASIDE);
    let mut candidates = Vec::new();
    let mut reasons = Vec::new();
    for folder in own.ancestors().skip(usize::from(is_aside)).take_while(|folder| folder.starts_with(top)) {
        match candidate(folder, wanted) {
            Ok(candidate) => {
                reasons.extend(candidate.reason.clone());
                candidates.push(candidate);
            }
            Err(reason) => reasons.push(reason),
        }
    }
    // Stable: of equals the nearest, whose own limits and lifetime are closest to this process's.
    candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.controllers.len()));
    for candidate in &candidates {
        match prepare(candidate) {
            Ok(()) => return Ok((candidate.folder.clone(), reasons)),
            Err(error) => reasons.push(format!("{}: {error}", candidate.folder.display())),
        }
    }
    Err(reasons.join("; "))
}

fn candidate(folder: &Path, wanted: &[&'static str]) -> Result<Candidate, String> {
    let read = |name: &str| std::fs::read_to_string(folder.join(name));
    let refused = |error: io::Error| format!("{}: {error}", folder.display());
    let open = rustix::fs::Access::WRITE_OK;
    rustix::fs::access(folder, open)
        .and_then(|()| rustix::fs::access(folder.join("cgroup.procs"), open))
        .map_err(|error| refused(error.into()))?;
    let offered = read("cgroup.controllers").map_err(refused)?;
    let enabled = read("cgroup.subtree_control").map_err(refused)?;
    let mut controllers: Vec<_> =
        wanted.iter().copied().filter(|name| offered.split_whitespace().any(|word| word == *name)).collect();
    // Only the real root has no type, and is free of the rule.
    let processes = match read("cgroup.type") {
        Ok(_) => read("cgroup.procs").map_err(refused)?,
        Err(_) => String::new(),
    };
    let others = processes.lines().any(|process| process != std::process::id().to_string());
    if !processes.is_empty() && !enabled.trim().is_empty() {
        // Groups below would take threads only.
        return Err(format!("{}: it has processes and passes on controllers", folder.display()));
    }
    let mut reason = None;
    if others && !controllers.is_empty() {
        controllers.clear();
        reason = Some(format!("{}: other processes are in it", folder.display()));
    }
    let occupied = !processes.is_empty() && !controllers.is_empty();
    Ok(Candidate { folder: folder.to_path_buf(), controllers, occupied, reason })
}

fn prepare(candidate: &Candidate) -> io::Result<()> {
    let enabled = std::fs::read_to_string(candidate.folder.join("cgroup.subtree_control"))?;
    let missing: Vec<_> =
        candidate.controllers.iter().filter(|name| !enabled.split_whitespace().any(|word| word == **name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if candidate.occupied {
        let aside = candidate.folder.join(ASIDE);
        match std::fs::create_dir(&aside) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => super::write(&aside.join("cgroup.procs"), "0")?,
        }
    }
    // In one write: with some of them on and a process inside, the group would turn into one for threads.
    let words: Vec<String> = missing.iter().map(|name| format!("+{name}")).collect();
    super::write(&candidate.folder.join("cgroup.subtree_control"), &words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const WANTED: &[&str] = &["memory", "pids"];

    /// A folder with the files of a group.
    fn group(folder: &Path, controllers: &str, enabled: &str, processes: &str) {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join("cgroup.controllers"), controllers).unwrap();
        fs::write(folder.join("cgroup.subtree_control"), enabled).unwrap();
        fs::write(folder.join("cgroup.procs"), processes).unwrap();
        fs::write(folder.join("cgroup.type"), "domain\n").unwrap();
    }

    fn enabled(folder: &Path) -> String {
        fs::read_to_string(folder.join("cgroup.subtree_control")).unwrap()
    }

    #[test]
    fn a_shell_in_a_scope_uses_the_slice_above() {
        let top = tempfile::tempdir().unwrap();
        let slice = top.path().join("app.slice");
        let own = slice.join("shell.scope");
        group(top.path(), "cpu memory pids", "", "1\n");
        group(&slice, "cpu memory pids", "pids", "");
        group(&own, "memory pids", "", &format!("{}\n1\n", std::process::id()));
        let (folder, reasons) = parent_for_groups(&own, top.path(), WANTED).unwrap();
        assert_eq!(folder, slice);
        assert_eq!(enabled(&slice), "+memory");
        assert_eq!(enabled(&own), "");
        assert_eq!(reasons.len(), 2, "{reasons:?}");
    }

    #[test]
    fn a_service_alone_in_its_group_steps_aside() {
        let top = tempfile::tempdir().unwrap();
        let own = top.path().join("codeact.service");
        group(top.path(), "memory pids", "memory pids", "");
        group(&own, "memory pids", "", &format!("{}\n", std::process::id()));
        let aside = own.join(ASIDE);
        group(&aside, "", "", "");
        assert_eq!(parent_for_groups(&own, top.path(), WANTED).unwrap().0, own);
        assert_eq!(enabled(&own), "+memory +pids");
        assert_eq!(fs::read_to_string(aside.join("cgroup.procs")).unwrap(), "0");
        // From then on its own group is the one aside, where groups are never made.
        group(&own, "memory pids", "memory pids", "");
        group(&aside, "memory pids", "", &format!("{}\n", std::process::id()));
        assert_eq!(parent_for_groups(&aside, top.path(), WANTED).unwrap().0, own);
        assert_eq!(enabled(&aside), "");
    }

    #[test]
    fn the_real_root_may_hold_processes() {
        let top = tempfile::tempdir().unwrap();
        group(top.path(), "memory pids", "", "1\n2\n");
        fs::remove_file(top.path().join("cgroup.type")).unwrap();
        assert_eq!(parent_for_groups(top.path(), top.path(), WANTED).unwrap().0, top.path());
        assert_eq!(enabled(top.path()), "+memory +pids");
    }

    #[test]
    fn without_controllers_the_own_group_still_ends_processes() {
        let top = tempfile::tempdir().unwrap();
        let own = top.path().join("box");
        group(top.path(), "", "", "1\n");
        group(&own, "", "", "1\n2\n");
        assert_eq!(parent_for_groups(&own, top.path(), WANTED).unwrap().0, own);
        assert_eq!(enabled(&own), "");
    }

    #[test]
    fn nothing_that_can_be_written_is_an_error_that_names_every_folder() {
        let top = tempfile::tempdir().unwrap();
        let own = top.path().join("closed");
        fs::create_dir(&own).unwrap();
        let reason = parent_for_groups(&own, top.path(), WANTED).unwrap_err();
        assert!(reason.contains("closed: ") && reason.contains("; "), "{reason}");
        // A group that passes on controllers with processes in it takes only threads.
        group(&own, "memory pids", "pids", "1\n");
        let reason = parent_for_groups(&own, &own, WANTED).unwrap_err();
        assert!(reason.contains("has processes"), "{reason}");
    }
}
