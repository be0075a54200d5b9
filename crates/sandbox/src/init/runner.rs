//! A Python process of the session, as the first process sees it: the one that runs cells, or a checkpoint of it.

use crate::wire::link::Link;
use rustix::process::{Pid, Signal};
use std::os::fd::OwnedFd;

/// A process and the socket to it.
#[derive(Debug)]
pub(super) struct Runner {
    pub link: Link,
    /// As the kernel named it; 0 until it has said something.
    pub pid: i32,
}

impl Runner {
    /// # Errors
    /// When the socket cannot be prepared.
    pub(super) fn new(socket: OwnedFd) -> std::io::Result<Runner> {
        rustix::net::sockopt::set_socket_passcred(&socket, true)?;
        Ok(Runner { link: Link::new(socket)?, pid: 0 })
    }

    /// Read, and learn which process is on the other side.
    pub(super) fn fill(&mut self) {
        self.link.fill();
        if self.pid == 0 {
            self.pid = self.link.sender().unwrap_or(0);
        }
    }

    /// Ctrl-C for the interpreter and what it runs in its own process group.
    pub(super) fn interrupt(&self) {
        if let Some(pid) = Pid::from_raw(self.pid) {
            let _ = rustix::process::kill_process_group(pid, Signal::INT);
            let _ = rustix::process::kill_process(pid, Signal::INT);
        }
    }
}
