//! Opening a session: its first process in new namespaces, its disk, its fences, and a Python inside of them.

use super::request::Open;
use super::serve::Launcher;
use super::zygote::{Confinement, fixed_environment, start_alone};
use crate::init::{self, Channels};
use crate::jail::identity::{self, Pair};
use crate::jail::{calls, landlock, root, session};
use crate::policy::Rung;
use crate::seccomp;
use crate::wire::fields::{Fields, Writer};
use crate::wire::packet;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{DumpableBehavior, Pid, PidfdFlags, Signal};
use rustix::thread::{CapabilitySet, UnshareFlags};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;

/// What goes back to the host.
#[derive(Debug)]
pub(super) struct Opened {
    pub answer: Vec<u8>,
    /// The socket to the first process, a pidfd of it, the workspace, and the listener for a proxy if asked for.
    pub fds: Vec<OwnedFd>,
}

/// The ends of the channels that Python gets.
#[derive(Debug)]
struct Ends {
    control: OwnedFd,
    stdout: OwnedFd,
    stderr: OwnedFd,
}

/// Start a session. `cgroups` are `cgroup.procs` files that its Python has to enter.
pub(super) fn open(launcher: &mut Launcher, request: &Open, cgroups: Vec<OwnedFd>) -> Result<Opened, String> {
    let begin = &launcher.begin;
    let has_namespaces = launcher.zygote.is_some();
    let pair = begin.ids.pair(request.number, begin.workspace.is_some());
    let failed = |error: std::io::Error| format!("making channels: {error}");
    let (host, init_host) = stream_pair().map_err(failed)?;
    let (control, ends_control) = stream_pair().map_err(failed)?;
    let (stdout, ends_stdout) = std::io::pipe().map_err(failed)?;
    let (stderr, ends_stderr) = std::io::pipe().map_err(failed)?;
    let sync = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
    let (sync, init_sync) = sync.map_err(|error| failed(error.into()))?;
    let ends = Ends { control: ends_control, stdout: ends_stdout.into(), stderr: ends_stderr.into() };
    let channels = Channels { host: init_host, control, stdout: stdout.into(), stderr: stderr.into() };
    let namespaces = if has_namespaces { begin.ids.namespaces(begin.host_network) } else { UnshareFlags::empty() };
    let pid = calls::fork_into(namespaces).map_err(|error| format!("making the namespaces of a session: {error}"))?;
    if pid == 0 {
        let begun = keep_only(&channels, &ends, &init_sync, &cgroups)
            .and_then(|()| first_process(launcher, request, channels, ends, &init_sync, &cgroups));
        let status = match begun {
            Ok(()) => 0,
            Err(error) => {
                let _ = packet::send(&init_sync, &Writer::default().put("error", error).finish(), &[]);
                1
            }
        };
        calls::exit(status);
    }
    drop((channels, init_sync));
    let opened = accompany(launcher, request, pid, pair, &sync, &ends, &cgroups, host);
    if opened.is_err()
        && let Some(pid) = Pid::from_raw(pid)
    {
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
    opened
}

/// Let go of what the launcher has: its socket to the host, the zygote's, the other ends of the channels.
fn keep_only(channels: &Channels, ends: &Ends, sync: &OwnedFd, cgroups: &[OwnedFd]) -> Result<(), String> {
    let Channels { host, control, stdout, stderr } = channels;
    let own = [host, control, stdout, stderr, &ends.control, &ends.stdout, &ends.stderr, sync];
    let kept: Vec<_> = own.into_iter().chain(cgroups).map(AsRawFd::as_raw_fd).collect();
    calls::keep_only(&kept).map_err(|error| format!("closing the launcher's files: {error}"))
}

/// The launcher's part, while the first process builds the session.
#[allow(clippy::too_many_arguments)] // every one is used once, and a structure for them would be used here alone
fn accompany(
    launcher: &Launcher,
    request: &Open,
    pid: i32,
    pair: Pair,
    sync: &OwnedFd,
    ends: &Ends,
    cgroups: &[OwnedFd],
    host: OwnedFd,
) -> Result<Opened, String> {
    let begin = &launcher.begin;
    if launcher.zygote.is_some()
        && let Some(map) = begin.ids.session_map(pair)
    {
        identity::write_maps(pid, &map, false).map_err(|error| format!("mapping the ids of a session: {error}"))?;
    }
    packet::send(sync, b"go", &[]).map_err(|error| format!("the first process of the session is gone: {error}"))?;
    let (bytes, fds) = packet::receive_packet(sync).map_err(|error| format!("the session did not begin: {error}"))?;
    if let Some(error) = Fields::parse(&bytes).unwrap_or_default().text("error") {
        return Err(error);
    }
    let process = Pid::from_raw(pid).ok_or("no process")?;
    let process =
        rustix::process::pidfd_open(process, PidfdFlags::empty()).map_err(|error| format!("pidfd: {error}"))?;
    let mut fds = fds.into_iter();
    let workspace = fds.next().ok_or("the session has no workspace")?;
    let (fence, listener) = match request.proxy {
        true => (fds.next(), fds.next()),
        false => (fds.next(), None),
    };
    if let Some(zygote) = &launcher.zygote {
        let namespaces = begin.ids.namespaces(begin.host_network) - UnshareFlags::NEWPID;
        let inside = begin.ids.inside(pair);
        let fields = confinement(launcher, request).put("pid_namespace", "1");
        let fields = fields.number("setns", namespaces.bits().into());
        let fields = fields.number("uid", inside.cell.into()).number("gid", inside.cell.into());
        let fds = named(ends, fence.as_ref(), Some(&process), cgroups);
        zygote.fork(Confinement { fds, fields })?;
    }
    let fds = [host, process, workspace].into_iter().chain(listener).collect();
    Ok(Opened { answer: Writer::default().number("ok", 1).finish(), fds })
}

/// The life of the first process, from its first instruction to its last.
fn first_process(
    launcher: &Launcher,
    request: &Open,
    channels: Channels,
    ends: Ends,
    sync: &OwnedFd,
    cgroups: &[OwnedFd],
) -> Result<(), String> {
    let begin = &launcher.begin;
    packet::receive_packet(sync).map_err(|error| error.to_string())?;
    let has_namespaces = launcher.zygote.is_some();
    let inside = begin.ids.inside(begin.ids.pair(request.number, begin.workspace.is_some()));
    let (workspace, temporary) = folders(launcher, request);
    if has_namespaces {
        identity::take_id(inside.init).map_err(|error| format!("becoming another user: {error}"))?;
        session::build(&session::Plan {
            init: inside.init,
            cell: inside.cell,
            disk_bytes_max: request.disk_bytes_max,
            disk_files_max: request.disk_files_max,
            workspace: workspace.clone(),
            loopback: request.network,
            own_network: !begin.host_network,
        })?;
    } else {
        calls::adopt_orphans();
    }
    let fence = fence(launcher, request, &workspace, &temporary)?;
    let folder = session::open_workspace(&workspace).map_err(|error| format!("opening `{workspace}`: {error}"))?;
    let listener = match request.proxy {
        true => Some(std::net::TcpListener::bind("127.0.0.1:3128").map_err(|error| format!("proxy: {error}"))?),
        false => None,
    };
    let child_ends = calls::child_ends().map_err(|error| format!("signalfd: {error}"))?;
    if has_namespaces {
        let kept = CapabilitySet::KILL | CapabilitySet::SYS_PTRACE;
        identity::give_up_rights(kept).map_err(|error| format!("giving up rights: {error}"))?;
    } else {
        start_alone(
            begin,
            Confinement { fds: named(&ends, fence.as_ref(), None, cgroups), fields: confinement(launcher, request) },
        )?;
    }
    drop(ends);
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| error.to_string())?;
    // The zygote has to look at this process to join it; once Python has spoken, nobody has.
    rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable).map_err(|error| error.to_string())?;
    let fds = [Some(folder.as_fd()), fence.as_ref().map(AsFd::as_fd), listener.as_ref().map(AsFd::as_fd)];
    let fds: Vec<_> = fds.into_iter().flatten().collect();
    packet::send(sync, &Writer::default().number("ok", 1).finish(), &fds).map_err(|error| error.to_string())?;
    drop((folder, fence, listener));
    if begin.rung != Rung::None {
        rustix::thread::set_no_new_privs(true).map_err(|error| format!("no_new_privs: {error}"))?;
        seccomp::install(&seccomp::program(&rules(launcher, request))).map_err(|error| format!("seccomp: {error}"))?;
    }
    init::run(channels, has_namespaces, child_ends).map_err(|error| error.to_string())
}

fn folders(launcher: &Launcher, request: &Open) -> (String, String) {
    let given = launcher.begin.workspace.as_ref();
    let text = |path: &PathBuf| path.to_string_lossy().into_owned();
    match &request.folders {
        Some((work, temporary)) => (given.map_or_else(|| text(work), text), text(temporary)),
        None => (given.map_or_else(|| root::WORKSPACE.to_string(), text), "/tmp".to_string()),
    }
}

fn fence(launcher: &Launcher, request: &Open, workspace: &str, temporary: &str) -> Result<Option<OwnedFd>, String> {
    if launcher.begin.rung == Rung::None {
        return Ok(None);
    }
    let has_namespaces = launcher.zygote.is_some();
    let readable = match has_namespaces {
        true => vec![PathBuf::from("/")],
        false => root::readable(&launcher.begin.readable, launcher.begin.host_network),
    };
    let shared = ["/dev/null", "/dev/zero", "/dev/full", "/dev/shm"].map(PathBuf::from);
    let writable = shared.into_iter().chain([workspace.into(), temporary.into()]).collect();
    let plan = landlock::Plan { readable, writable, network: request.network };
    landlock::ruleset(&plan).map_err(|error| format!("Landlock: {error}"))
}

fn rules(launcher: &Launcher, request: &Open) -> seccomp::Rules {
    let has_namespaces = launcher.zygote.is_some();
    seccomp::Rules { network: request.network, private_pids: has_namespaces }
}

/// The fields of a confinement that are the same with namespaces and without.
fn confinement(launcher: &Launcher, request: &Open) -> Writer {
    let (workspace, temporary) = folders(launcher, request);
    let mut environment: Vec<String> = fixed_environment(&launcher.begin.python).collect();
    environment.extend([format!("HOME={temporary}/home"), format!("TMPDIR={temporary}")]);
    environment.extend(request.environment.iter().cloned());
    let program = match launcher.begin.rung {
        Rung::None => Vec::new(),
        _ => seccomp::program(&rules(launcher, request)),
    };
    Writer::default()
        .put("limits", request.packed_limits())
        .put("seccomp", program)
        .put("environment", environment.join("\0"))
        .put("directory", workspace)
        .put("argv0", "")
}

fn named<'a>(
    ends: &'a Ends,
    fence: Option<&'a OwnedFd>,
    process: Option<&'a OwnedFd>,
    cgroups: &'a [OwnedFd],
) -> Vec<(&'static str, std::os::fd::BorrowedFd<'a>)> {
    let mut fds =
        vec![("control", ends.control.as_fd()), ("stdout", ends.stdout.as_fd()), ("stderr", ends.stderr.as_fd())];
    fds.extend(fence.map(|fd| ("landlock", fd.as_fd())));
    fds.extend(process.map(|fd| ("init", fd.as_fd())));
    fds.extend(cgroups.iter().map(|fd| ("cgroup", fd.as_fd())));
    fds
}

fn stream_pair() -> std::io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?)
}
