//! The Python that sessions are forked from: its imports are done once, and its memory is shared by all of them.
//!
//! Where there are no namespaces to fork it into, the same code runs as a Python of one session alone.

use super::request::Begin;
use crate::python;
use crate::wire::fields::{Fields, Writer};
use crate::wire::packet;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

/// A Python that waits for sessions.
#[derive(Debug)]
pub(super) struct Zygote {
    socket: OwnedFd,
    _child: Child,
}

/// Everything that a session's Python has to do to itself; see `python/confine.py`.
#[derive(Debug)]
pub(super) struct Confinement<'a> {
    /// Names and descriptors, `control`, `stdout` and `stderr` first.
    pub fds: Vec<(&'static str, BorrowedFd<'a>)>,
    pub fields: Writer,
}

impl Confinement<'_> {
    fn send(self, socket: &OwnedFd) -> Result<(), String> {
        let names: Vec<&str> = self.fds.iter().map(|(name, _)| *name).collect();
        let fds: Vec<BorrowedFd<'_>> = self.fds.iter().map(|(_, fd)| *fd).collect();
        let packet = self.fields.put("fds", names.join(",")).finish();
        packet::send(socket, &packet, &fds).map(drop).map_err(|error| format!("asking Python: {error}"))
    }
}

impl Zygote {
    /// Start it, and wait for its imports. Returns what it said about itself, for the host.
    pub(super) fn start(begin: &Begin) -> Result<(Zygote, Vec<u8>), String> {
        let environment = ["HOME=/tmp/home".to_string(), "TMPDIR=/tmp".to_string()]
            .into_iter()
            .chain(fixed_environment(&begin.python));
        let environment: Vec<String> = environment.collect();
        let (socket, mut child, stderr) = start(begin, "zygote", &environment)?;
        hand_over_sources(&socket, &begin.imports, &environment)?;
        match answer(&socket) {
            Ok(bytes) => Ok((Zygote { socket, _child: child }, bytes)),
            Err(error) => {
                let _ = child.kill();
                Err(format!("{error}{}", last_words(stderr)))
            }
        }
    }

    /// Fork one session.
    pub(super) fn fork(&self, confinement: Confinement<'_>) -> Result<(), String> {
        confinement.send(&self.socket)?;
        answer(&self.socket).map(drop)
    }
}

/// Start a Python for one session, as a child of this process. It says the rest on its control socket.
pub(super) fn start_alone(begin: &Begin, confinement: Confinement<'_>) -> Result<(), String> {
    let environment: Vec<String> = fixed_environment(&begin.python).collect();
    let (socket, _child, stderr) = start(begin, "alone", &environment)?;
    hand_over_sources(&socket, &begin.imports, &environment)?;
    let begun = answer(&socket).and_then(|_| confinement.send(&socket)).and_then(|()| answer(&socket));
    begun.map(drop).map_err(|error| format!("{error}{}", last_words(stderr)))
}

fn start(begin: &Begin, mode: &str, environment: &[String]) -> Result<(OwnedFd, Child, ChildStderr), String> {
    let pair = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
    let (own, theirs) = pair.map_err(|error| format!("making a socket: {error}"))?;
    let _ = rustix::net::sockopt::set_socket_send_buffer_size(&own, 2 * packet::PACKET_BYTES_MAX);
    let program = &begin.python;
    let mut command = Command::new(program);
    // Isolated mode would ignore the seed. Without it: no folder of the user, and no module from the folder it starts in.
    let (isolation, seed) = match begin.hash_seed {
        None => ("-I", None),
        Some(seed) => ("-s", Some(("PYTHONHASHSEED", seed.to_string()))),
    };
    command.args([isolation, "-B", "-X", "utf8", "-c", python::BOOT, "0", mode]).env_clear();
    command.envs(environment.iter().filter_map(|one| one.split_once('='))).envs(seed);
    command.arg0(program).stdin(Stdio::from(theirs)).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("starting `{}`: {error}", program.display()))?;
    let stderr = child.stderr.take().ok_or("Python has no stderr")?;
    Ok((own, child, stderr))
}

fn hand_over_sources(socket: &OwnedFd, imports: &[String], environment: &[String]) -> Result<(), String> {
    let mut fields = Writer::default().put("imports", imports.join("\n")).put("environment", environment.join("\0"));
    for (name, text) in python::SOURCES {
        fields = fields.put(&format!("source/{name}"), text);
    }
    packet::send(socket, &fields.finish(), &[]).map(drop).map_err(|error| format!("handing over the runner: {error}"))
}

fn answer(socket: &OwnedFd) -> Result<Vec<u8>, String> {
    let (bytes, _) = packet::receive_packet(socket).map_err(|error| format!("Python did not answer: {error}"))?;
    let fields = Fields::parse(&bytes).map_err(|error| error.to_string())?;
    match fields.text("error") {
        Some(error) => Err(error),
        None => Ok(bytes),
    }
}

/// What Python wrote to stderr before it ended.
fn last_words(stderr: ChildStderr) -> String {
    let mut bytes = Vec::new();
    let _ = rustix::io::ioctl_fionbio(stderr.as_fd(), true);
    let _ = stderr.take(4096).read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes).trim().to_string();
    if text.is_empty() { text } else { format!("\n{text}") }
}

/// Variables that every Python of the sandbox has.
pub(super) fn fixed_environment(python: &Path) -> impl Iterator<Item = String> {
    let programs = python.parent().unwrap_or(Path::new("/usr/bin")).display();
    [
        format!("PATH={programs}:/usr/local/bin:/usr/bin:/bin"),
        "USER=codeact".to_string(),
        "LOGNAME=codeact".to_string(),
        "LANG=C.UTF-8".to_string(),
        "CUDA_VISIBLE_DEVICES=".to_string(),
    ]
    .into_iter()
}
