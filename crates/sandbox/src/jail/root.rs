//! The file system that cells see: the system and Python read-only at their own paths, and almost nothing else.
//!
//! It is built once per launcher, and every session covers `/proc`, `/tmp`, `/dev/shm` and `/workspace` with its own.

use super::calls::{self, PLAIN, READ_ONLY};
use rustix::fs::{CWD, Mode};
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount, mount_change, move_mount,
    open_tree, unmount,
};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// Where cells start when no folder of the host is given.
pub(crate) const WORKSPACE: &str = "/workspace";

/// Programs, libraries, time zones, certificates, fonts. Nothing of a user, and of `/etc` only what every program may
/// know: no `shadow`, no private keys, no settings of services.
const READABLE: &[&str] = &[
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/alternatives",
    "/etc/localtime",
    "/etc/timezone",
    "/etc/services",
    "/etc/protocols",
    "/etc/mime.types",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/ca-certificates",
    "/etc/pki/tls/certs",
    "/etc/pki/ca-trust/extracted",
    "/etc/fonts",
    "/etc/os-release",
    "/etc/debian_version",
    "/sys/devices/system/cpu",
];
const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom"];
/// What a network of the host needs to find names.
const NAME_SERVICE: &[&str] = &["/etc/resolv.conf", "/etc/hosts"];

const PASSWD: &str = "codeact:x:1000:1000:codeact:/tmp/home:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n";
const GROUP: &str = "codeact:x:1000:\nnogroup:x:65534:\n";

/// What to build.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Folders and files that Python is read from.
    pub readable: Vec<PathBuf>,
    /// A folder of the host that cells may write, and how its owners are shown.
    pub workspace: Option<(PathBuf, Option<OwnedFd>)>,
    /// An existing folder to build in.
    pub scratch: PathBuf,
    /// Whether cells use the network of the host.
    pub host_network: bool,
}

/// Build the tree and make it the root of this process. Needs a mount namespace of its own, and CAP_SYS_ADMIN there.
///
/// # Errors
/// With the path or the step that failed.
pub(crate) fn enter(plan: &Plan) -> Result<(), String> {
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE).map_err(at("making `/` private"))?;
    // Everything is taken before the scratch folder covers what may lie under it (an environment in /tmp).
    let trees = collect(plan)?;
    let workspace = match &plan.workspace {
        Some((path, map)) => Some((path.clone(), workspace_tree(path, map.as_ref())?)),
        None => None,
    };
    let devices = take(DEVICES.iter().map(|name| Path::new("/dev").join(name)))?;
    let processes = tree_of(Path::new("/proc"))?;
    let root = &plan.scratch;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount("codeact", root, "tmpfs", flags, Some(c"mode=755,size=16m,nr_inodes=16384"))
        .map_err(at("mounting a tmpfs"))?;
    // For what libraries write when they are imported, like Matplotlib its list of fonts. Whoever that is by then.
    let temporary = root.join("tmp");
    std::fs::create_dir(&temporary).map_err(|error| format!("making `/tmp`: {error}"))?;
    mount("codeact", &temporary, "tmpfs", flags, Some(c"mode=1777,size=64m,nr_inodes=4096"))
        .map_err(at("mounting `/tmp`"))?;
    let home = temporary.join("home");
    let made = std::fs::create_dir(&home).and_then(|()| Ok(rustix::fs::chmod(&home, Mode::from_raw_mode(0o1777))?));
    made.map_err(|error| format!("making a home folder: {error}"))?;
    for (path, tree) in trees.iter().chain(&devices).chain([&(PathBuf::from("/proc"), processes)]) {
        attach(tree, root, path)?;
    }
    // A socket can be connected to whether its mount is read-only or not.
    for path in sockets_below(&plan.readable) {
        attach(&tree_of(Path::new("/dev/null"))?, root, &path)?;
    }
    if let Some((path, tree)) = &workspace {
        attach(tree, root, path)?;
    }
    furnish(root, plan).map_err(|error| format!("furnishing the root: {error}"))?;
    let tree = rustix::fs::open(root, rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC, Mode::empty());
    let tree = tree.map_err(at("opening the root"))?;
    pivot(root)?;
    calls::set_mount_attributes(&tree, READ_ONLY, false).map_err(|error| format!("sealing the root: {error}"))
}

/// What can be read where there is no tree of its own: the same, and what programs ask about the machine.
pub(crate) fn readable(python: &[PathBuf], host_network: bool) -> Vec<PathBuf> {
    const MORE: &[&str] = &[
        "/proc",
        "/dev/random",
        "/dev/urandom",
        "/etc/passwd",
        "/etc/group",
        "/etc/nsswitch.conf",
        // How many processors may be used: joblib takes files that exist for files that can be read.
        "/sys/fs/cgroup/cpu.max",
        "/sys/fs/cgroup/cpu/cpu.cfs_quota_us",
        "/sys/fs/cgroup/cpu/cpu.cfs_period_us",
    ];
    let names = if host_network { NAME_SERVICE } else { &[] };
    let fixed = READABLE.iter().chain(MORE).chain(names).map(PathBuf::from);
    fixed.chain(python.iter().cloned()).filter(|path| path.exists()).collect()
}

/// Detached copies of all that can be read, with the paths that they are shown at; folders before what lies in them.
fn collect(plan: &Plan) -> Result<Vec<(PathBuf, OwnedFd)>, String> {
    let names = if plan.host_network { NAME_SERVICE } else { &[] };
    let fixed = READABLE.iter().chain(names).map(PathBuf::from);
    // Both under the name that Python knows, and where links lead to.
    let python = plan.readable.iter().flat_map(|path| [path.canonicalize().ok(), Some(path.clone())]).flatten();
    let paths = topmost(fixed.chain(python).filter(|path| path.exists()).collect());
    take(paths.into_iter().filter(|path| !is_kept_as_link(path)))
}

/// Without what lies in another of the folders.
fn topmost(mut paths: Vec<PathBuf>) -> Vec<PathBuf> {
    paths.sort();
    paths.dedup();
    let mut kept: Vec<PathBuf> = Vec::new();
    for path in paths {
        if !kept.iter().any(|above| path.starts_with(above)) {
            kept.push(path);
        }
    }
    kept
}

/// Socket files in the folders of Python, which may be anywhere, and so in the company of anything. Those of the system
/// hold none.
fn sockets_below(python: &[PathBuf]) -> Vec<PathBuf> {
    use std::os::unix::fs::FileTypeExt;
    let mut found = Vec::new();
    let own: Vec<PathBuf> = python.iter().filter_map(|path| path.canonicalize().ok()).collect();
    let system: Vec<PathBuf> = READABLE.iter().filter_map(|path| Path::new(path).canonicalize().ok()).collect();
    let mut folders = topmost(own.into_iter().chain(system.iter().cloned()).collect());
    folders.retain(|folder| !system.contains(folder));
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_socket() => found.push(entry.path()),
                _ => {}
            }
        }
    }
    found
}

/// `/bin -> usr/bin` stays a link.
fn is_kept_as_link(path: &Path) -> bool {
    path.is_symlink() && path.parent() == Some(Path::new("/"))
}

fn take(paths: impl Iterator<Item = PathBuf>) -> Result<Vec<(PathBuf, OwnedFd)>, String> {
    let mut trees = Vec::new();
    for path in paths.filter(|path| path.exists()) {
        let tree = tree_of(&path)?;
        calls::set_mount_attributes(
            &tree,
            if path.starts_with("/dev") { libc::MOUNT_ATTR_NOSUID } else { READ_ONLY },
            true,
        )
        .map_err(|error| format!("protecting `{}`: {error}", path.display()))?;
        trees.push((path, tree));
    }
    Ok(trees)
}

fn tree_of(path: &Path) -> Result<OwnedFd, String> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    open_tree(CWD, path, flags).map_err(|error| format!("binding `{}`: {error}", path.display()))
}

fn workspace_tree(path: &Path, map: Option<&OwnedFd>) -> Result<OwnedFd, String> {
    let tree = tree_of(path)?;
    calls::set_mount_attributes(&tree, PLAIN, true)
        .map_err(|error| format!("protecting `{}`: {error}", path.display()))?;
    if let Some(map) = map {
        calls::map_ids(&tree, map).map_err(|error| {
            format!("the file system of `{}` cannot show its files under another owner: {error}", path.display())
        })?;
    }
    Ok(tree)
}

/// Show `tree` at `path` of the tree that is built at `root`.
pub(super) fn attach(tree: &OwnedFd, root: &Path, path: &Path) -> Result<(), String> {
    let failed = |error: io::Error| format!("showing `{}`: {error}", path.display());
    let target = root.join(path.strip_prefix("/").unwrap_or(path));
    let is_folder =
        rustix::fs::fstat(tree).map_err(|error| failed(error.into()))?.st_mode & libc::S_IFMT == libc::S_IFDIR;
    if !target.exists() {
        match is_folder {
            true => std::fs::create_dir_all(&target),
            false => target.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(&target, "")),
        }
        .map_err(failed)?;
    }
    move_mount(tree, "", CWD, &target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).map_err(|error| failed(error.into()))
}

/// Folders to mount on, links, and the files of `/etc` that are not those of the host.
fn furnish(root: &Path, plan: &Plan) -> io::Result<()> {
    for folder in ["tmp", "var", "run", "dev/shm", "etc", &WORKSPACE[1..]] {
        std::fs::create_dir_all(root.join(folder))?;
    }
    let former = root.join("var/tmp");
    if !former.exists() {
        // It does where an environment lies in it.
        std::os::unix::fs::symlink("/tmp", former)?;
    }
    for (name, target) in [("fd", "fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")] {
        std::os::unix::fs::symlink(format!("/proc/self/{target}"), root.join("dev").join(name))?;
    }
    for path in READABLE.iter().map(Path::new).filter(|path| is_kept_as_link(path)) {
        std::os::unix::fs::symlink(std::fs::read_link(path)?, root.join(path.strip_prefix("/").unwrap_or(path)))?;
    }
    std::fs::write(root.join("etc/passwd"), PASSWD)?;
    std::fs::write(root.join("etc/group"), GROUP)?;
    std::fs::write(root.join("etc/nsswitch.conf"), "passwd: files\ngroup: files\nhosts: files dns\n")?;
    if !plan.host_network {
        std::fs::write(root.join("etc/hosts"), "127.0.0.1 localhost\n::1 localhost\n")?;
    }
    Ok(())
}

/// Make `root` the root, and let go of the old one.
fn pivot(root: &Path) -> Result<(), String> {
    rustix::process::chdir(root).map_err(at("entering the root"))?;
    rustix::process::pivot_root(".", ".").map_err(at("pivot_root"))?;
    unmount(".", UnmountFlags::DETACH).map_err(at("letting go of the old root"))?;
    rustix::process::chdir("/").map_err(at("entering the root"))
}

fn at(step: &'static str) -> impl Fn(rustix::io::Errno) -> String {
    move |error| format!("{step}: {error}")
}
