//! One interpreter: start it confined, signal it, kill it with everything it started.

use crate::confine::{Confinement, Identity, REPORT_BYTES, Report, can_read_all};
use crate::filesystem::{self, Fence};
use crate::interpreter::Interpreter;
use crate::{Limits, SandboxError};
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock};

const RUNNER: &str = include_str!("runner.py");
const OPEN_FILES_MAX: u64 = 512;

/// The folders and the identity of a session; the same for each interpreter it starts.
#[derive(Debug)]
pub(crate) struct Place {
    pub interpreter: Interpreter,
    pub workspace: PathBuf,
    /// Home and temporary folder.
    pub home: PathBuf,
    pub identity: Identity,
    /// Why the identity is not better than it is.
    pub identity_reason: String,
}

/// A running interpreter with the host's ends of its channels, all non-blocking.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    pub control: UnixStream,
    pub stdout: OwnedFd,
    pub stderr: OwnedFd,
    pub report: Report,
    pub fence_abi: Option<i32>,
    /// Inode of its own network namespace: everything in there was started by it.
    network_namespace: Option<u64>,
    /// Set once it has been reaped.
    status: Option<ExitStatus>,
}

impl Process {
    pub(crate) fn start(place: &Place, limits: &Limits) -> Result<Process, SandboxError> {
        let (control, child_control) = UnixStream::pair().map_err(SandboxError::system("making a socket pair"))?;
        let fence = filesystem::ruleset(&place.interpreter.roots, &[&place.workspace, &place.home])?;
        let plan = plan(place, limits, &child_control, fence.as_ref());
        let mut command = command(place, &child_control);
        // SAFETY: `apply` keeps to what is allowed between fork and exec, which its module says.
        unsafe { command.pre_exec(move || plan.apply()) };
        let mut child = launch(command).map_err(|source| SandboxError::NoStart {
            python: place.interpreter.executable.clone(),
            reason: source.to_string(),
        })?;
        drop(child_control);
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            unreachable!("both were configured as pipes");
        };
        let mut process = Process {
            network_namespace: namespace_of(i64::from(child.id())),
            status: None,
            child,
            control,
            stdout: stdout.into(),
            stderr: stderr.into(),
            report: Report::from_bytes(&[0xff; REPORT_BYTES]),
            fence_abi: fence.map(|fence| fence.abi),
        };
        // The child wrote its report before exec, and spawning returned after it: the bytes are there.
        let mut report = [0; REPORT_BYTES];
        process.control.read_exact(&mut report).map_err(SandboxError::system("reading the report of the sandbox"))?;
        process.report = Report::from_bytes(&report);
        if namespace_of(std::process::id().into()) == process.network_namespace {
            process.network_namespace = None;
        }
        for fd in [process.control.as_raw_fd(), process.stdout.as_raw_fd(), process.stderr.as_raw_fd()] {
            set_nonblocking(fd).map_err(SandboxError::system("preparing a pipe"))?;
        }
        Ok(process)
    }

    fn group(&self) -> libc::pid_t {
        // A process id always fits: the kernel's own type is a signed 32-bit number.
        -(self.child.id() as libc::pid_t)
    }

    /// Ctrl-C for the interpreter and what it runs in its own group.
    pub(crate) fn interrupt(&self) {
        // SAFETY: the child is not reaped before `kill`, so its id, and that of its group, is still its own.
        unsafe { libc::kill(self.group(), libc::SIGINT) };
    }

    /// Ctrl-C once more, for the interpreter alone: the first one may have come before the cell began.
    pub(crate) fn interrupt_again(&self) {
        // SAFETY: as in `interrupt`.
        unsafe { libc::kill(-self.group(), libc::SIGINT) };
    }

    /// Whether the interpreter has ended. It stays unreaped, so that its group id cannot be taken by another.
    pub(crate) fn has_exited(&self) -> bool {
        // SAFETY: `info` is written by the call, and zero is a valid value of it.
        unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
            libc::waitid(libc::P_PID, self.child.id(), &raw mut info, flags) == 0 && info.si_pid() != 0
        }
    }

    /// Kill the interpreter, its group, and all that lives in its network namespace; returns how it ended.
    pub(crate) fn kill(&mut self) -> Option<ExitStatus> {
        if self.status.is_some() {
            return self.status; // reaped: the id may belong to somebody else by now
        }
        // SAFETY: as in `interrupt`.
        unsafe { libc::kill(self.group(), libc::SIGKILL) };
        // A process can fork while the others are being looked up, but each pass leaves fewer that are able to.
        for _ in 0..100 {
            if !self.kill_stragglers() {
                break;
            }
        }
        self.status = self.child.wait().ok();
        self.status
    }

    fn kill_stragglers(&self) -> bool {
        let Some(namespace) = self.network_namespace else {
            return false;
        };
        let Ok(entries) = std::fs::read_dir("/proc") else {
            return false;
        };
        let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<libc::pid_t>().ok());
        let mut found = false;
        for pid in pids.filter(|pid| *pid != self.child.id() as libc::pid_t) {
            if namespace_of(pid.into()) == Some(namespace) {
                // SAFETY: a system call; the process was inside the sandbox an instant ago.
                found |= unsafe { libc::kill(pid, libc::SIGKILL) } == 0;
            }
        }
        found
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// "exit code 3" or "signal 11".
pub(crate) fn describe(status: Option<ExitStatus>) -> String {
    match status.map(|status| (status.code(), status.signal())) {
        Some((Some(code), _)) => format!("exit code {code}"),
        Some((_, Some(libc::SIGSEGV))) => "signal SIGSEGV".to_string(),
        Some((_, Some(libc::SIGKILL))) => "signal SIGKILL".to_string(),
        Some((_, Some(libc::SIGABRT))) => "signal SIGABRT".to_string(),
        Some((_, Some(signal))) => format!("signal {signal}"),
        _ => "unknown status".to_string(),
    }
}

fn command(place: &Place, control: &UnixStream) -> Command {
    let executable = &place.interpreter.executable;
    let programs = executable.parent().unwrap_or(Path::new("/usr/bin")).display();
    let mut command = Command::new(executable);
    command
        .args(["-I", "-B", "-X", "utf8", "-c", RUNNER])
        .arg(control.as_raw_fd().to_string())
        .env_clear()
        .env("PATH", format!("{programs}:/usr/local/bin:/usr/bin:/bin"))
        .env("HOME", &place.home)
        .env("TMPDIR", &place.home)
        .env("USER", "codeact")
        .env("LOGNAME", "codeact")
        .env("LANG", "C.UTF-8")
        .env("MPLBACKEND", "Agg")
        .current_dir(&place.workspace)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn plan(place: &Place, limits: &Limits, control: &UnixStream, fence: Option<&Fence>) -> Confinement {
    // SAFETY: these two calls always succeed and touch no memory.
    let (user, group) = unsafe { (libc::geteuid(), libc::getegid()) };
    Confinement {
        control_fd: control.as_raw_fd(),
        fence_fd: fence.map(|fence| fence.fd.as_raw_fd()),
        parent_pid: std::process::id() as libc::pid_t,
        identity: place.identity,
        limits: [
            (libc::RLIMIT_NOFILE, OPEN_FILES_MAX),
            (libc::RLIMIT_FSIZE, limits.file_bytes_max),
            (libc::RLIMIT_DATA, limits.memory_bytes_max),
            (libc::RLIMIT_CPU, limits.cpu_seconds_max),
            (libc::RLIMIT_CORE, 0),
        ]
        .map(|(resource, value)| (resource, value.min(hard_limit(resource)))),
        processes_max: limits.processes_max.min(hard_limit(libc::RLIMIT_NPROC)),
        user_map: format!("{user} {user} 1").into_bytes(),
        group_map: format!("{group} {group} 1").into_bytes(),
    }
}

fn hard_limit(resource: libc::__rlimit_resource_t) -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is written by the call and outlives it.
    let result = unsafe { libc::getrlimit(resource, &raw mut limit) };
    if result == 0 { limit.rlim_max } else { u64::MAX }
}

fn set_nonblocking(fd: i32) -> std::io::Result<()> {
    // SAFETY: system calls on a descriptor that the caller owns.
    let result = unsafe { libc::fcntl(fd, libc::F_SETFL, libc::fcntl(fd, libc::F_GETFL) | libc::O_NONBLOCK) };
    if result < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}

fn namespace_of(pid: i64) -> Option<u64> {
    std::fs::metadata(format!("/proc/{pid}/ns/net")).ok().map(|metadata| metadata.ino())
}

type Job = (Command, Sender<std::io::Result<Child>>);

/// Start `command` from a thread that lives as long as this process.
///
/// The kernel ties "kill the child when its parent dies" to the thread that forked it, and sessions outlive threads.
fn launch(command: Command) -> std::io::Result<Child> {
    static LAUNCHER: OnceLock<Mutex<Sender<Job>>> = OnceLock::new();
    let launcher = LAUNCHER.get_or_init(|| {
        let (sender, jobs) = channel::<Job>();
        std::thread::spawn(move || {
            for (mut command, reply) in jobs {
                // The receiver waits for exactly this message; if its thread died, the child is killed with `Child`.
                let _ = reply.send(command.spawn());
            }
        });
        Mutex::new(sender)
    });
    let (reply, child) = channel();
    let gone = || std::io::Error::other("the thread that starts interpreters is gone");
    launcher.lock().map_err(|_| gone())?.send((command, reply)).map_err(|_| gone())?;
    child.recv().map_err(|_| gone())?
}

/// Whom the interpreter should run as, and why not somebody with less power.
pub(crate) fn identity(interpreter: &Interpreter, workspace: Option<&Path>, private: &Path) -> (Identity, String) {
    // SAFETY: always succeeds.
    if unsafe { libc::geteuid() } != 0 {
        return (Identity::Same, "same user as the host".to_string());
    }
    let owner = workspace.and_then(|path| std::fs::metadata(path).ok()).map(|metadata| metadata.uid());
    if owner == Some(0) {
        return (Identity::BareRoot, "the workspace belongs to root".to_string());
    }
    let mut needed = interpreter.roots.iter().map(PathBuf::as_path).chain([private, &interpreter.executable]);
    let hidden = needed.find(|path| !is_open_to_all(path));
    if let Some(hidden) = hidden.filter(|_| !can_read_all()) {
        return (Identity::BareRoot, format!("only root can read `{}`", hidden.display()));
    }
    let id = owner.unwrap_or_else(private_id);
    let reason = match hidden {
        Some(path) => format!("may read past permissions, because `{}` is closed to others", path.display()),
        None => String::new(),
    };
    (Identity::User { id, reads_all: hidden.is_some() }, reason)
}

/// A user id of nobody else on this machine, so that limits per user are limits per session.
fn private_id() -> u32 {
    static SESSION_COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let session = SESSION_COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % 1000;
    1_800_000_000 + std::process::id() % 100_000 * 1000 + session
}

/// Whether any user can reach and read `path`. Only folders above it and its own bits are looked at.
fn is_open_to_all(path: &Path) -> bool {
    let mode = |path: &Path| std::fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode());
    path.ancestors().skip(1).all(|folder| folder.as_os_str().is_empty() || mode(folder) & 0o001 != 0)
        && mode(path) & 0o004 != 0
}
