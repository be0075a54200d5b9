//! One session's processes as the host sees them: its first process on a socket, and the ways to end them all.

use crate::jail::root;
use crate::launcher::client::{Launcher, Opened};
use crate::launcher::request::Open;
use crate::policy::{Limits, Network, Policy};
use crate::wire::fields::Writer;
use crate::wire::frame::{Frame, NONCE_BYTES, Nonce};
use crate::wire::link::Link;
use crate::{Rung, SandboxError};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Starting Python on a loaded machine takes a while.
const START_MAX: Duration = Duration::from_secs(60);

/// Time that the processes of a session without namespaces have to be killed.
const END_MAX: Duration = Duration::from_secs(2);

/// See the module. Dropping it kills everything of the session.
#[derive(Debug)]
pub(crate) struct Jail {
    pub link: Link,
    process: OwnedFd,
    pub launcher: Arc<Launcher>,
    /// Version of Python, as it says.
    pub python: String,
    /// Where cells start, as they see it.
    pub workspace: PathBuf,
    /// The id of cells on this machine, where it is not that of the host.
    cell_id: Option<u32>,
    /// The folders of a session that has no disk of its own.
    folders: Option<tempfile::TempDir>,
}

/// What a wait ended with.
#[derive(Debug)]
pub(crate) enum Heard {
    Frame(Frame),
    /// The wake-up descriptor can be read.
    Woken,
    TimeOut,
    /// The first process is gone, or does not keep to the protocol.
    Gone,
}

impl Jail {
    /// Open a session of `launcher` and wait for its Python. Returns it with the workspace and the proxy's listener.
    pub(crate) fn open(
        launcher: Arc<Launcher>,
        policy: &Policy,
        cgroups: &[OwnedFd],
        bounds_memory: bool,
    ) -> Result<(Jail, OwnedFd, Option<OwnedFd>), SandboxError> {
        let failed = |reason: String| SandboxError::NoStart { python: launcher.begin.python.clone(), reason };
        let folders = match launcher.begin.rung {
            Rung::Root | Rung::User => None,
            Rung::Weak | Rung::None => Some(own_folders().map_err(SandboxError::system("making a private folder"))?),
        };
        let shown = match (&policy.workspace, &folders) {
            (Some(path), _) => path.clone(),
            (None, Some(folder)) => folder.path().join("work"),
            (None, None) => PathBuf::from(root::WORKSPACE),
        };
        let request = Open {
            number: launcher.next_number(),
            limits: resource_limits(&policy.limits, bounds_memory, launcher.begin.rung),
            disk_bytes_max: policy.limits.disk_bytes_max,
            disk_files_max: policy.limits.disk_files_max,
            network: policy.network != Network::None,
            proxy: matches!(policy.network, Network::Allow(_)),
            environment: environment(policy, &shown),
            folders: folders.as_ref().map(|folder| (folder.path().join("work"), folder.path().join("tmp"))),
        };
        let Opened { host, process, workspace, listener } = launcher.open(&request, cgroups).map_err(&failed)?;
        let link = Link::new(host).map_err(SandboxError::system("preparing a socket"))?;
        let begin = &launcher.begin;
        let cell_id = begin.ids.on_this_machine(begin.ids.pair(request.number, begin.workspace.is_some()));
        let (launcher, python) = (launcher.clone(), String::new());
        let mut jail = Jail { link, process, launcher, python, workspace: shown, cell_id, folders };
        let reason = match jail.listen(None, Instant::now() + START_MAX) {
            Heard::Frame(frame) if frame.tag == b'H' => {
                let fields = crate::wire::fields::Fields::parse(&frame.payload).unwrap_or_default();
                jail.python = fields.text("python").unwrap_or_default();
                return Ok((jail, workspace, listener));
            }
            Heard::Frame(frame) => String::from_utf8_lossy(&frame.payload).into_owned(),
            Heard::TimeOut => format!("no answer within {} s", START_MAX.as_secs()),
            Heard::Gone | Heard::Woken => "its processes ended".to_string(),
        };
        Err(failed(reason))
    }

    /// See the field.
    pub(crate) fn cell_id(&self) -> Option<u32> {
        self.cell_id
    }

    /// Send a request without waiting for its answer; returns its nonce.
    pub(crate) fn ask(&mut self, tag: u8, fields: Writer) -> Result<Nonce, SandboxError> {
        let nonce = draw_nonce().map_err(SandboxError::system("drawing a random number"))?;
        self.link.send(&nonce, tag, &fields.finish(), None);
        Ok(nonce)
    }

    /// Wait for a frame, for `wake`, or for `deadline`.
    pub(crate) fn listen(&mut self, wake: Option<BorrowedFd<'_>>, deadline: Instant) -> Heard {
        loop {
            match self.link.next() {
                Ok(Some(frame)) => return Heard::Frame(frame),
                Ok(None) if self.link.is_closed() => return Heard::Gone,
                Ok(None) => {}
                Err(_) => return Heard::Gone,
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let mut fds = vec![PollFd::new(&self.link, self.link.interest(true))];
            fds.extend(wake.as_ref().map(|wake| PollFd::new(wake, PollFlags::IN)));
            let timeout = Timespec::try_from(left + Duration::from_micros(100)).ok();
            let count = poll(&mut fds, timeout.as_ref());
            if fds.get(1).is_some_and(|wake| !wake.revents().is_empty()) {
                return Heard::Woken;
            }
            if count == Ok(0) && Instant::now() >= deadline {
                return Heard::TimeOut;
            }
            self.link.flush();
            self.link.fill();
        }
    }

    /// Kill all processes of the session. With a PID namespace, the kernel does so when the first one dies.
    pub(crate) fn kill(&self) {
        if self.launcher.begin.rung <= Rung::User {
            let _ = rustix::process::pidfd_send_signal(&self.process, rustix::process::Signal::KILL);
        }
    }
}

impl Drop for Jail {
    fn drop(&mut self) {
        self.kill();
        if let Some(folders) = self.folders.take() {
            // Without namespaces the first process kills the others, and they may fill the folders until it has.
            let _ = rustix::net::shutdown(&self.link, rustix::net::Shutdown::Both);
            let timeout = Timespec::try_from(END_MAX).ok();
            let _ = poll(&mut [PollFd::new(&self.process, PollFlags::IN)], timeout.as_ref());
            // What cannot be removed now is tried again by the next host.
            let _ = crate::workspace::remove_tree(folders.path());
        }
    }
}

impl AsFd for Jail {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.link.as_fd()
    }
}

pub(crate) fn draw_nonce() -> std::io::Result<Nonce> {
    let mut nonce = [0; NONCE_BYTES];
    rustix::rand::getrandom(&mut nonce, rustix::rand::GetRandomFlags::empty())?;
    Ok(nonce)
}

fn own_folders() -> std::io::Result<tempfile::TempDir> {
    let folder = crate::scratch::folder()?;
    for name in ["work", "tmp", "tmp/home"] {
        std::fs::create_dir(folder.path().join(name))?;
    }
    Ok(folder)
}

fn environment(policy: &Policy, workspace: &Path) -> Vec<String> {
    let network = match &policy.network {
        Network::None => "none",
        Network::Loopback => "loopback",
        Network::Allow(_) => "allow",
        Network::Full => "full",
    };
    let mut environment = vec![format!("CODEACT_NETWORK={network}")];
    if let Network::Allow(_) = policy.network {
        let names = ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"];
        environment.extend(names.map(|name| format!("{name}=http://127.0.0.1:3128")));
    }
    if matches!(policy.network, Network::Allow(_) | Network::Full) {
        // Beside the user's files, so that undo and restore cover what was installed.
        environment.push(format!("CODEACT_PACKAGES={}", workspace.join(".packages").display()));
    }
    environment.extend(policy.environment.iter().cloned());
    environment
}

/// Resource and value, never above what this process itself may have.
fn resource_limits(limits: &Limits, bounds_memory: bool, rung: Rung) -> Vec<(u32, u64)> {
    use rustix::process::{Resource, getrlimit};
    // Without a user of its own, the kernel counts whatever else this user runs.
    let others = if rung >= Rung::Weak { threads_of_this_user() } else { 0 };
    let mut wanted = vec![
        (Resource::Nofile, limits.open_files_max),
        (Resource::Fsize, limits.disk_bytes_max),
        (Resource::Cpu, limits.cpu_seconds_max),
        (Resource::Core, 0),
        (Resource::Memlock, 1 << 20),
        (Resource::Msgqueue, 0),
        (Resource::Rtprio, 0),
        // Checkpoints are processes of the same user.
        (Resource::Nproc, others + limits.processes_max + limits.checkpoints_max as u64 + 4),
    ];
    if !bounds_memory {
        wanted.push((Resource::Data, limits.memory_bytes_max));
    }
    let own = |resource| getrlimit(resource).maximum.unwrap_or(u64::MAX);
    wanted.into_iter().map(|(resource, value)| (resource as u32, value.min(own(resource)))).collect()
}

fn threads_of_this_user() -> u64 {
    use std::os::unix::fs::MetadataExt;
    let own = rustix::process::getuid().as_raw();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()));
    let tasks = folders.filter(|entry| entry.metadata().is_ok_and(|metadata| metadata.uid() == own));
    tasks.filter_map(|entry| Some(std::fs::read_dir(entry.path().join("task")).ok()?.count() as u64)).sum()
}

#[cfg(test)]
mod tests;
