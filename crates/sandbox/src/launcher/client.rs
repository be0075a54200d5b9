//! The host's side: start launchers, choose the best rung that holds, ask for sessions.

use super::entry;
use super::request::{Begin, Open};
use crate::interpreter::Interpreter;
use crate::jail::identity::{self, Ids};
use crate::jail::landlock;
use crate::policy::{Network, Policy, Rung};
use crate::wire::fields::Fields;
use crate::wire::packet;
use crate::{Refusal, SandboxError};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// A launcher that has begun.
#[derive(Debug)]
pub(crate) struct Launcher {
    socket: Mutex<OwnedFd>,
    child: Mutex<Child>,
    pub begin: Begin,
    /// Why the better rungs do not hold.
    pub refusals: Vec<Refusal>,
    /// Modules that were asked for and could not be imported, each with the reason.
    pub missing: Vec<String>,
    opened: AtomicU32,
}

/// What a launcher hands over for one session.
#[derive(Debug)]
pub(crate) struct Opened {
    pub host: OwnedFd,
    pub process: OwnedFd,
    pub workspace: OwnedFd,
    pub listener: Option<OwnedFd>,
}

/// What two sessions must have in common to share a launcher.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    interpreter: Interpreter,
    imports: Vec<String>,
    workspace: Option<PathBuf>,
    host_network: bool,
    /// Whether sessions need a network of their own that is more than nothing.
    own_network: bool,
    rungs: (Rung, Rung),
    hash_seed: Option<u32>,
}

static LAUNCHERS: Mutex<Option<HashMap<Key, Arc<Launcher>>>> = Mutex::new(None);

/// The launcher for sessions of `policy`; started if there is none yet.
///
/// # Errors
/// When no rung that the policy accepts holds on this machine.
pub(crate) fn find(
    policy: &Policy,
    interpreter: &Interpreter,
    workspace: Option<PathBuf>,
) -> Result<Arc<Launcher>, SandboxError> {
    let key = Key {
        interpreter: interpreter.clone(),
        imports: policy.imports.clone(),
        workspace,
        host_network: policy.network == Network::Full,
        own_network: matches!(policy.network, Network::Loopback | Network::Allow(_)),
        rungs: (policy.strongest, policy.weakest),
        hash_seed: policy.hash_seed,
    };
    // Whatever a panicking thread left is valid: entries are only ever inserted and removed whole.
    let mut guard = LAUNCHERS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let launchers = guard.get_or_insert_default();
    if let Some(launcher) = launchers.get(&key).filter(|launcher| launcher.lives()) {
        return Ok(launcher.clone());
    }
    let launcher = Arc::new(choose(policy, &key)?);
    // A folder of the host is part of the launcher's tree, so only launchers without one are of use to others.
    launchers.retain(|other, launcher| other.workspace.is_none() || Arc::strong_count(launcher) > 1);
    launchers.insert(key, launcher.clone());
    Ok(launcher)
}

/// Try the rungs from the best to the weakest that is accepted.
fn choose(policy: &Policy, key: &Key) -> Result<Launcher, SandboxError> {
    let mut refusals = Vec::new();
    for rung in Rung::ALL.into_iter().filter(|rung| (policy.strongest..=policy.weakest).contains(rung)) {
        let mut reason = String::new();
        match ways(rung) {
            // Without a namespace it would be the network of the machine, all of it.
            Ok(_) if rung >= Rung::Weak && key.own_network => {
                reason = "a loopback or an allow-list needs a network namespace".to_string();
            }
            Ok(ways) => {
                for ids in ways {
                    match start(rung, ids, key) {
                        Ok(launcher) => return Ok(launcher.after(refusals)),
                        Err(refusal) => reason = refusal,
                    }
                }
            }
            Err(refusal) => reason = refusal,
        }
        refusals.push(Refusal { rung, reason });
    }
    Err(SandboxError::TooWeak { weakest: policy.weakest, refusals })
}

/// The ways to reach a rung, best first, or why there is none.
fn ways(rung: Rung) -> Result<Vec<Ids>, String> {
    let is_root = rustix::process::geteuid().is_root();
    let start = identity::free_range(std::process::id().wrapping_add(RANGES.fetch_add(1, Ordering::Relaxed)));
    match rung {
        Rung::Root if !is_root => Err("not started by root".to_string()),
        Rung::Root if !identity::is_powerful_root() => {
            Err("started by root without its capabilities, as in a container".to_string())
        }
        Rung::Root => Ok(vec![Ids::Range { start }, Ids::BareRange { start }]),
        Rung::User | Rung::Weak if is_root => {
            Err("started by root, who must not run cells as root; start it as another user".to_string())
        }
        Rung::User => Ok(vec![Ids::Single]),
        Rung::Weak if landlock::kernel_version() < landlock::SCOPES => Err(format!(
            "Landlock version {} is needed, this kernel has {}",
            landlock::SCOPES,
            landlock::kernel_version().max(0)
        )),
        Rung::Weak | Rung::None => Ok(vec![Ids::Single]),
    }
}

static RANGES: AtomicU32 = AtomicU32::new(0);

fn start(rung: Rung, ids: Ids, key: &Key) -> Result<Launcher, String> {
    let scratch = crate::scratch::folder().map_err(|error| error.to_string())?;
    let owner = key.workspace.as_ref().filter(|_| rung == Rung::Root);
    let owner = owner.and_then(|path| path.metadata().ok()).map(|metadata| (metadata.uid(), metadata.gid()));
    let begin = Begin {
        rung,
        ids,
        python: key.interpreter.executable.clone(),
        readable: key.interpreter.roots.clone(),
        imports: key.imports.clone(),
        scratch: scratch.path().to_path_buf(),
        workspace: key.workspace.clone(),
        owner,
        host_network: key.host_network,
        hash_seed: key.hash_seed,
    };
    let pair = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
    let (socket, theirs) = pair.map_err(|error| error.to_string())?;
    let mut command = Command::new("/proc/self/exe");
    command.arg0(entry::NAME).env_clear().stdin(Stdio::from(theirs)).stdout(Stdio::null());
    // The dynamic linker may need what this program was started with.
    command.envs(std::env::vars_os().filter(|(name, _)| name == "LD_LIBRARY_PATH"));
    let mut child = command.current_dir("/").spawn().map_err(|error| format!("starting a launcher: {error}"))?;
    let pid = child.id() as i32;
    match begin_talk(&socket, &begin, pid) {
        Ok(missing) => Ok(Launcher {
            socket: Mutex::new(socket),
            child: Mutex::new(child),
            begin,
            refusals: Vec::new(),
            missing,
            opened: AtomicU32::new(0),
        }),
        Err(error) => {
            drop(socket);
            let _ = child.kill();
            let _ = child.wait();
            Err(error)
        }
    }
}

/// Returns the modules that could not be imported.
fn begin_talk(socket: &OwnedFd, begin: &Begin, pid: i32) -> Result<Vec<String>, String> {
    packet::send(socket, &begin.encode(), &[]).map_err(|error| format!("asking the launcher: {error}"))?;
    loop {
        let (bytes, _) =
            packet::receive_packet(socket).map_err(|error| format!("the launcher did not answer: {error}"))?;
        let fields = Fields::parse(&bytes).map_err(|error| error.to_string())?;
        if let Some(error) = fields.text("error") {
            return Err(error);
        }
        if fields.bytes("map").is_none() {
            return Ok(fields.text("missing").unwrap_or_default().lines().map(str::to_string).collect());
        }
        if let Ids::Range { start } = begin.ids {
            identity::write_maps(pid, &format!("0 {start} {}\n", identity::RANGE), false)
                .map_err(|error| format!("mapping a range of ids: {error}"))?;
        }
        packet::send(socket, b"go", &[]).map_err(|error| format!("asking the launcher: {error}"))?;
    }
}

impl Launcher {
    fn after(mut self, refusals: Vec<Refusal>) -> Launcher {
        self.refusals = refusals;
        self
    }

    fn lives(&self) -> bool {
        matches!(lock(&self.child).try_wait(), Ok(None))
    }

    /// A number for the next session.
    pub(crate) fn next_number(&self) -> u32 {
        self.opened.fetch_add(1, Ordering::Relaxed)
    }

    /// Open a session whose Python enters `cgroups`.
    pub(crate) fn open(&self, request: &Open, cgroups: &[OwnedFd]) -> Result<Opened, String> {
        let socket = lock(&self.socket);
        let fds: Vec<BorrowedFd<'_>> = cgroups.iter().map(AsFd::as_fd).collect();
        packet::send(&*socket, &request.encode(), &fds).map_err(|error| format!("asking the launcher: {error}"))?;
        let (bytes, fds) = packet::receive_packet(&*socket).map_err(|error| format!("the launcher ended: {error}"))?;
        let fields = Fields::parse(&bytes).map_err(|error| error.to_string())?;
        if let Some(error) = fields.text("error") {
            return Err(error);
        }
        let mut fds = fds.into_iter();
        match (fds.next(), fds.next(), fds.next()) {
            (Some(host), Some(process), Some(workspace)) => {
                Ok(Opened { host, process, workspace, listener: fds.next() })
            }
            _ => Err("the launcher handed over too little".to_string()),
        }
    }
}

impl Drop for Launcher {
    fn drop(&mut self) {
        let mut child = lock(&self.child);
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
