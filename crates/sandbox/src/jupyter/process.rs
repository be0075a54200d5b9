//! The process of a kernel that was started here.

use super::KernelError;
use super::spec::{Python, Spec};
use crate::{Policy, SandboxError};
use jupyter_protocol::{ConnectionInfo, Transport};
use rustix::process::{Pid, Signal, kill_process_group};
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A running kernel, the leader of its process group. Dropping it ends the group.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    /// Has the connection file, with the key that lets one in, and what the process wrote to stderr.
    folder: TempDir,
    /// Whether it wants a message in place of SIGINT.
    pub takes_messages: bool,
}

const STDERR: &str = "stderr";
/// From the request to terminate to the end by force.
const TERM_MAX: Duration = Duration::from_millis(500);
/// Bytes of stderr that are told of when it does not start.
const STDERR_BYTES_MAX: usize = 2000;

impl Process {
    /// Start kernel `name`.
    pub fn start(name: &str, policy: &Policy) -> Result<(Process, ConnectionInfo), SandboxError> {
        let python = Python::ask(&policy.python);
        let spec = Spec::find(name, python.as_ref()).map_err(SandboxError::Kernel)?;
        let folder = tempfile::Builder::new().prefix("codeact-kernel-").tempdir();
        let folder = folder.map_err(SandboxError::system("making a folder for the kernel"))?;
        // The ports stay taken until the kernel is about to bind them.
        let ports: Result<Vec<TcpListener>, _> = (0..5).map(|_| TcpListener::bind("127.0.0.1:0")).collect();
        let ports = ports.map_err(SandboxError::system("finding free ports"))?;
        let info = connection(name, &ports).map_err(SandboxError::system("choosing a key"))?;
        let file = folder.path().join("connection.json");
        let text = serde_json::to_string(&info).expect("numbers and strings are valid JSON");
        write_private(&file, text.as_bytes()).map_err(SandboxError::system("writing the connection file"))?;
        let arguments = spec.arguments(&file, python.as_ref());
        let child = command(&arguments, &spec, policy, folder.path())
            .and_then(|mut command| command.spawn())
            .map_err(|error| no_start(name, format!("`{}`: {error}", arguments[0])))?;
        let takes_messages = spec.json.interrupt_mode.as_deref() == Some("message");
        Ok((Process { child, folder, takes_messages }, info))
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<String> {
        match self.child.try_wait() {
            Ok(None) => None,
            Ok(Some(status)) => Some(status.to_string()),
            Err(error) => Some(error.to_string()),
        }
    }

    /// As Ctrl-C does.
    pub fn interrupt(&mut self) {
        self.signal(Signal::INT);
    }

    /// The end of what it wrote to stderr.
    pub fn stderr(&self) -> String {
        let bytes = std::fs::read(self.folder.path().join(STDERR)).unwrap_or_default();
        let start = bytes.len().saturating_sub(STDERR_BYTES_MAX);
        String::from_utf8_lossy(&bytes[start..]).trim().to_string()
    }

    /// As [`Process::ended`], within `time`.
    pub fn wait(&mut self, time: Duration) -> Option<String> {
        let end = Instant::now() + time;
        loop {
            let ended = self.ended();
            if ended.is_some() || Instant::now() > end {
                return ended;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// End it, and all of its group, at once.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.child.wait();
    }

    fn signal(&mut self, signal: Signal) {
        // Only while it is not reaped: afterwards the id may be somebody else's.
        if self.ended().is_none()
            && let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
        {
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::TERM);
        if self.wait(TERM_MAX).is_none() {
            self.kill();
        }
    }
}

pub(super) fn no_start(kernel: &str, reason: String) -> SandboxError {
    SandboxError::Kernel(KernelError::NoStart { kernel: kernel.to_string(), reason })
}

fn connection(name: &str, ports: &[TcpListener]) -> std::io::Result<ConnectionInfo> {
    let port = |index: usize| ports[index].local_addr().map(|address| address.port());
    let mut key = [0; 32];
    rustix::rand::getrandom(&mut key, rustix::rand::GetRandomFlags::empty())?;
    Ok(ConnectionInfo {
        ip: "127.0.0.1".to_string(),
        transport: Transport::TCP,
        shell_port: port(0)?,
        iopub_port: port(1)?,
        stdin_port: port(2)?,
        control_port: port(3)?,
        hb_port: port(4)?,
        key: key.iter().map(|byte| format!("{byte:02x}")).collect(),
        signature_scheme: "hmac-sha256".to_string(),
        kernel_name: Some(name.to_string()),
    })
}

fn write_private(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?.write_all(bytes)
}

fn command(arguments: &[String], spec: &Spec, policy: &Policy, folder: &Path) -> std::io::Result<Command> {
    let mut command = Command::new(&arguments[0]);
    command.args(&arguments[1..]).envs(spec.json.env.iter().flatten());
    command.envs(policy.environment.iter().filter_map(|pair| pair.split_once('=')));
    // ipykernel watches this process, and ends with it.
    command.env("JPY_PARENT_PID", std::process::id().to_string());
    if let Some(workspace) = &policy.workspace {
        command.current_dir(workspace);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(std::fs::File::create(folder.join(STDERR))?);
    command.process_group(0);
    Ok(command)
}
