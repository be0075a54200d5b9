//! What a session has for itself: `/proc`, a disk in memory with a quota, a host name, a loopback if asked for.

use super::calls;
use super::root::WORKSPACE;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{MountFlags, MoveMountFlags, OpenTreeFlags, mount, mount_bind, move_mount, open_tree};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
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
    /// What the tree of the launcher shows and the session has to go on seeing: see [`Kept`].
    pub shown: Vec<PathBuf>,
    pub loopback: bool,
    pub own_network: bool,
}

/// Folders that every session covers with parts of its own disk.
const COVERED: [&str; 3] = [WORKSPACE, "/dev/shm", "/tmp"];

/// What lies in one of them (an environment in `/tmp`, a folder given by the host), and is shown again on top.
struct Kept(Vec<(PathBuf, OwnedFd)>);

impl Kept {
    fn take(shown: &[PathBuf]) -> Result<Kept, String> {
        let is_covered = |path: &&PathBuf| COVERED.iter().any(|covered| path.starts_with(covered));
        let mut paths: Vec<&PathBuf> = shown.iter().filter(is_covered).filter(|path| path.exists()).collect();
        paths.sort();
        // A folder brings with it what lies in it.
        paths.dedup_by(|path, above| path.starts_with(*above));
        let flags =
            OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
        let tree = |path: &PathBuf| {
            let tree = open_tree(CWD, path, flags).map_err(|error| format!("keeping `{}`: {error}", path.display()))?;
            Ok((path.clone(), tree))
        };
        paths.into_iter().map(tree).collect::<Result<_, String>>().map(Kept)
    }

    fn show(&self) -> Result<(), String> {
        for (path, tree) in &self.0 {
            let failed = |error: io::Error| format!("showing `{}` again: {error}", path.display());
            let kind = rustix::fs::fstat(tree).map_err(|error| failed(error.into()))?.st_mode & libc::S_IFMT;
            if !path.exists() {
                match kind {
                    libc::S_IFDIR => std::fs::create_dir_all(path),
                    _ => path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(path, "")),
                }
                .map_err(failed)?;
            }
            move_mount(tree, "", CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
                .map_err(|error| failed(error.into()))?;
        }
        Ok(())
    }
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
    mount("proc", "/proc", "proc", flags | MountFlags::NOEXEC, Some(options.as_c_str())).map_err(at("mounting /proc"))?;
    hide().map_err(|error| format!("hiding parts of /proc: {error}"))?;
    let kept = Kept::take(&plan.shown)?;
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
    kept.show()?;
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
