//! A session that lives beside the attacks, and what on the host they look for.

use codeact_sandbox::{Policy, Session, State};
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::process::Command;

/// See `028_other_workspaces.py`.
const MARKER: &str = "marker-of-another-session";
/// See `085a_abstract_sockets.py`.
const ABSTRACT_NAME: &str = "codeact-attack-085";

#[derive(Debug)]
pub struct Bystander(Session);

impl Bystander {
    pub fn start(policy: &Policy) -> Bystander {
        let mut session = Session::start(policy).unwrap();
        session.files().write(MARKER, &mut &b"mine"[..], 100).unwrap();
        crate::run(&mut session, "mine = list(range(1000))");
        Bystander(session)
    }

    /// Whether it still answers, with its variable and its file.
    pub fn look(&mut self) -> Result<(), String> {
        let cell = self.0.run(&format!("(sum(mine), open('{MARKER}').read())"), &mut |_| {});
        match cell {
            Ok(cell) if cell.state == State::Kept && cell.observation(100) == "(499500, 'mine')" => Ok(()),
            Ok(cell) => Err(format!("another session said {:?} `{}`", cell.state, cell.observation(500))),
            Err(error) => Err(format!("another session failed: {error}")),
        }
    }
}

/// What listens, and lies about, on this machine while attacks run.
#[derive(Debug)]
pub struct Listeners {
    _ports: Vec<TcpListener>,
    /// `None`: another run of these tests listens under it already.
    _name: Option<UnixListener>,
    /// A System V segment, where `ipcmk` is installed.
    segment: Option<String>,
}

impl Listeners {
    pub fn start() -> Listeners {
        let ports = ["127.0.0.1:0", "[::1]:0"].into_iter().filter_map(|address| TcpListener::bind(address).ok());
        let ports: Vec<TcpListener> = ports.collect();
        assert!(!ports.is_empty(), "this machine has no loopback");
        let name = SocketAddr::from_abstract_name(ABSTRACT_NAME).unwrap();
        let name = match UnixListener::bind_addr(&name) {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => None,
            name => Some(name.unwrap()),
        };
        Listeners { _ports: ports, _name: name, segment: make_segment() }
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        if let Some(id) = &self.segment {
            let _ = Command::new("ipcrm").args(["-m", id]).status();
        }
    }
}

fn make_segment() -> Option<String> {
    let output = Command::new("ipcmk").args(["-M", "4096"]).output().ok()?;
    String::from_utf8_lossy(&output.stdout).trim().rsplit(' ').next().map(str::to_string)
}
