//! What a session has for itself: `/proc`, a disk in memory with a quota, a host name, a loopback if asked for.

use super::calls;
use super::root::{self, WORKSPACE};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{MountFlags, MoveMountFlags, OpenTreeFlags, mount, mount_bind, move_mount, open_tree};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// What to build for one session.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Ids as the processes of the session see them.
    pub init: u32,
    pub cell: u32,
    pub disk_bytes_max: u64,
    pub disk_files_max: u64,
    /// Where cells start: the folder of the host, or [`WORKSPACE`].
    pub workspace: String,
    pub loopback: bool,
    pub own_network: bool,
}

/// Parts of `/proc` that tell of the machine and not of the session.
const HIDDEN: &[&str] = &[
    "acpi",
    "asound",
    "bus",
    "fs",
    "interrupts",
    "irq",
    "kallsyms",
    "kcore",
    "key-users",
    "keys",
    "kmsg",
    "latency_stats",
    "modules",
    "sched_debug",
    "scsi",
    "sysrq-trigger",
    "timer_list",
    "vmallocinfo",
];

/// Build it. For the first process of the session, in its new namespaces, before it gives its rights away.
///
/// # Errors
/// With the step that the kernel refused.
pub(crate) fn build(plan: &Plan) -> Result<(), String> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    let options = c_string(format!("hidepid=invisible,gid={}", plan.init))?;
    mount("proc", "/proc", "proc", flags | MountFlags::NOEXEC, Some(options.as_c_str()))
        .map_err(at("mounting /proc"))?;
    hide().map_err(|error| format!("hiding parts of /proc: {error}"))?;
    let covered = covered_mounts().map_err(|error| format!("looking for mounts: {error}"))?;
    let (bytes, files, cell) = (plan.disk_bytes_max, plan.disk_files_max, plan.cell);
    let options = c_string(format!("mode=755,size={bytes},nr_inodes={files},uid={cell},gid={cell}"))?;
    mount("codeact", "/tmp", "tmpfs", flags, Some(options.as_c_str())).map_err(at("mounting the disk"))?;
    // One disk under three names, so that one quota holds for all of them.
    for (name, target) in [("workspace", WORKSPACE), ("shm", "/dev/shm"), ("tmp", "/tmp")] {
        let folder = Path::new("/tmp").join(name);
        std::fs::create_dir(&folder)
            .and_then(|()| std::os::unix::fs::chown(&folder, Some(cell), Some(cell)))
            .map_err(|error| format!("making `{}`: {error}", folder.display()))?;
        mount_bind(&folder, target).map_err(at("showing the disk"))?;
    }
    std::fs::create_dir("/tmp/home")
        .and_then(|()| std::os::unix::fs::chown("/tmp/home", Some(cell), Some(cell)))
        .map_err(|error| format!("making the home folder: {error}"))?;
    // Python, or the workspace, may lie below a folder that has just been covered.
    for (path, tree) in covered {
        root::attach(&tree, Path::new("/"), &path)?;
    }
    rustix::system::sethostname(b"codeact").map_err(at("naming the host"))?;
    if plan.own_network && plan.loopback {
        raise_loopback().map_err(|error| format!("raising the loopback: {error}"))?;
    }
    rustix::process::chdir(plan.workspace.as_str()).map_err(at("entering the workspace"))
}

/// The folder that cells write to, for the host's own use of it.
///
/// # Errors
/// What `open` answers.
pub(crate) fn open_workspace(path: &str) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Mounts below the folders that the session's disk will cover, taken before it does.
fn covered_mounts() -> io::Result<Vec<(PathBuf, OwnedFd)>> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    let text = std::fs::read("/proc/self/mountinfo")?;
    let points = text.split(|byte| *byte == b'\n').filter_map(|line| line.split(|byte| *byte == b' ').nth(4));
    let mut covered: Vec<(PathBuf, OwnedFd)> = Vec::new();
    for point in points.map(unescaped) {
        let is_covered = ["/tmp", "/dev/shm", WORKSPACE]
            .iter()
            .any(|folder| point.starts_with(folder) && point != Path::new(folder));
        if is_covered && !covered.iter().any(|(above, _)| point.starts_with(above)) {
            let tree = open_tree(CWD, &point, flags)?;
            covered.push((point, tree));
        }
    }
    Ok(covered)
}

/// A path of `mountinfo`, where blanks and backslashes are octal numbers: `\040`.
fn unescaped(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let number = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match number.filter(|_| *first == b'\\').and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    PathBuf::from(std::ffi::OsString::from_vec(bytes))
}

fn hide() -> io::Result<()> {
    for name in HIDDEN {
        let path = format!("/proc/{name}");
        let Ok(kind) = std::fs::symlink_metadata(&path) else {
            continue;
        };
        if kind.is_dir() {
            let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::RDONLY;
            mount("none", path.as_str(), "tmpfs", flags, Some(c"mode=555,size=4k,nr_inodes=2"))?;
        } else {
            mount_bind("/dev/null", path.as_str())?;
        }
    }
    // Settings of the kernel are read by libraries (overcommit, limits), and by nobody here to be written.
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(CWD, "/proc/sys", flags)?;
    calls::set_mount_attributes(&tree, calls::READ_ONLY, false)?;
    move_mount(&tree, "", CWD, "/proc/sys", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    Ok(())
}

/// `ip link set lo up`.
fn raise_loopback() -> io::Result<()> {
    let socket = rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::DGRAM, None)?;
    calls::raise_interface(socket.as_raw_fd(), c"lo")
}

fn c_string(text: String) -> Result<std::ffi::CString, String> {
    std::ffi::CString::new(text).map_err(|error| error.to_string())
}

fn at(step: &'static str) -> impl Fn(rustix::io::Errno) -> String {
    move |error| format!("{step}: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_mounts_are_read_as_the_kernel_writes_them() {
        assert_eq!(unescaped(br"/tmp/a\040b\134c"), Path::new(r"/tmp/a b\c"));
        assert_eq!(unescaped(br"/x\04"), Path::new(r"/x\04"));
    }
}
