//! What the interpreter may read and write: a Landlock ruleset, made before the fork, enforced after it.

use crate::SandboxError;
use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr, Scope,
    path_beneath_rules,
};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// Programs, libraries, time zones, certificates, and what programs ask about the machine. Nothing of a user, and of
/// `/etc` only what every program may know: no `shadow`, no private keys, no service settings.
const READABLE: &[&str] = &[
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/alternatives",
    "/etc/localtime",
    "/etc/timezone",
    "/etc/passwd",
    "/etc/group",
    "/etc/nsswitch.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/protocols",
    "/etc/mime.types",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/fonts",
    "/etc/os-release",
    "/etc/debian_version",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/sys/devices/system/cpu",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
];

/// `/dev/shm` holds the semaphores of `multiprocessing`.
const WRITABLE: &[&str] = &["/dev/null", "/dev/shm"];

/// A ruleset ready to be enforced, and what it will cover.
#[derive(Debug)]
pub(crate) struct Fence {
    pub fd: OwnedFd,
    /// Version of the kernel's interface: 3 covers files, 4 TCP, 6 signals and abstract sockets.
    pub abi: i32,
}

/// Make the ruleset. `None` where this kernel has no Landlock.
pub(crate) fn ruleset(readable: &[PathBuf], writable: &[&Path]) -> Result<Option<Fence>, SandboxError> {
    let abi = kernel_abi();
    if abi < 1 {
        return Ok(None);
    }
    let failed = |error: landlock::RulesetError| SandboxError::System {
        action: "making a Landlock ruleset",
        source: std::io::Error::other(error),
    };
    let newest = ABI::V7;
    let read = AccessFs::from_read(newest);
    let all = AccessFs::from_all(newest);
    let created = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)
        .and_then(|ruleset| ruleset.handle_access(AccessNet::from_all(newest)))
        .and_then(|ruleset| ruleset.scope(Scope::from_all(newest)))
        .and_then(|ruleset| ruleset.create())
        .and_then(|ruleset| ruleset.add_rules(path_beneath_rules(READABLE, read)))
        .and_then(|ruleset| ruleset.add_rules(path_beneath_rules(readable, read)))
        .and_then(|ruleset| ruleset.add_rules(path_beneath_rules(WRITABLE, all)))
        .and_then(|ruleset| ruleset.add_rules(path_beneath_rules(writable, all)))
        .map_err(failed)?;
    let fd: Option<OwnedFd> = created.into();
    Ok(fd.map(|fd| Fence { fd, abi }))
}

fn kernel_abi() -> i32 {
    const VERSION: libc::c_uint = 1;
    // SAFETY: with a null attribute and size 0 the call only returns a number.
    let abi = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0usize, VERSION) };
    i32::try_from(abi).unwrap_or(-1)
}
