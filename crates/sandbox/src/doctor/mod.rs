//! The sandbox tried out where it is to hold: attacks on ourselves, each in a session of its own.
//!
//! Beside them lives a session that must not notice, and things listen on this machine that must not be reached.

mod attack; // one attack, and what came of it

pub use attack::{Attack, Expect, Verdict};

use crate::{Layer, Limits, Policy, Protection, Rung, SandboxError, Session, State};
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::time::{Duration, Instant};

/// File name and text.
const TEXTS: &[(&str, &str)] = &include!(concat!(env!("OUT_DIR"), "/attacks.rs"));
/// What an attack looks for in the workspaces of others.
const MARKER: &str = "marker-of-another-session";
/// What an attack looks for among the abstract sockets of this machine.
const ABSTRACT_NAME: &str = "codeact-attack-085";

/// The attacks that show in seconds whether the sandbox holds.
pub fn attacks() -> Vec<Attack> {
    let parse = |(name, text): &(&str, &str)| Attack::parse(name, text).expect("tests have read all of them");
    TEXTS.iter().map(parse).collect()
}

/// One attack, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was tried.
    pub attack: Attack,
    /// What came of it.
    pub verdict: Verdict,
    /// How long it took, with the start of its session.
    pub took: Duration,
}

impl Finding {
    /// What to change where it was not held.
    pub fn advice(&self) -> Option<&'static str> {
        match (&self.verdict, self.attack.layer) {
            (Verdict::Held(_), _) => None,
            (Verdict::Skipped(_), layer) => layer.map(advice),
            (Verdict::Failed(_), _) => Some(
                "run no code of models here until it is explained, and report it as SECURITY.md says, with this line \
                 and the output of --json",
            ),
        }
    }
}

/// What to change on a machine where `layer` does not hold.
pub fn advice(layer: Layer) -> &'static str {
    match layer {
        Layer::Network => "leave the network at `none`, or name the hosts that are needed",
        Layer::Memory => {
            "give this user a control group: `systemd-run --user --scope -p Delegate=yes COMMAND`, or start it as root"
        }
        Layer::Disk => "give no folder of this machine as the workspace, and see what rung B needs",
        Layer::Processes | Layer::Ending | Layer::Identity => {
            "rung B is needed: allow user namespaces (`sysctl user.max_user_namespaces`; on Ubuntu an AppArmor profile \
             as in README.md, or `kernel.apparmor_restrict_unprivileged_userns=0`; in a container, a seccomp profile \
             with unshare)"
        }
        Layer::Filesystem | Layer::Signals | Layer::Privileges | Layer::Syscalls => {
            "a kernel with Landlock and seccomp is needed: 6.12 or newer, with `landlock` in the parameter `lsm`"
        }
    }
}

/// A run of attacks; each comes when it is asked for.
#[derive(Debug)]
pub struct Checkup {
    policy: Policy,
    protection: Protection,
    bystander: Session,
    waiting: std::vec::IntoIter<Attack>,
    _ports: Vec<TcpListener>,
    _name: Option<UnixListener>,
}

impl Checkup {
    /// Attack sessions under `policy`, with limits that are quicker to reach.
    ///
    /// # Errors
    /// When no session starts so.
    pub fn begin(policy: &Policy) -> Result<Checkup, SandboxError> {
        let limits = &policy.limits;
        let limits = Limits {
            memory_bytes_max: limits.memory_bytes_max.min(512 << 20),
            processes_max: limits.processes_max.min(64),
            open_files_max: limits.open_files_max.min(512),
            disk_bytes_max: limits.disk_bytes_max.min(128 << 20),
            disk_files_max: limits.disk_files_max.min(16_384),
            output_file_bytes_max: 0,
            checkpoints_max: limits.checkpoints_max.min(1),
            ..limits.clone()
        };
        // On disks of their own, so that nothing is left in a folder of this machine.
        let policy = Policy { limits, workspace: None, tools: None, ..policy.clone() };
        let mut bystander = Session::start(&policy)?;
        bystander.run(&format!("open('{MARKER}', 'w').write('mine'); mine = list(range(1000))"), &mut |_| {})?;
        let protection = bystander.protection().clone();
        let waiting = attacks().into_iter();
        let ports = ["127.0.0.1:0", "[::1]:0"].into_iter().filter_map(|address| TcpListener::bind(address).ok());
        // Taken by another run of this: that one listens just as well.
        let name = SocketAddr::from_abstract_name(ABSTRACT_NAME).and_then(|name| UnixListener::bind_addr(&name)).ok();
        Ok(Checkup { policy, protection, bystander, waiting, _ports: ports.collect(), _name: name })
    }

    fn attack(&mut self, attack: &Attack) -> Verdict {
        if self.protection.rung == Rung::None {
            return Verdict::Skipped("there is no sandbox, so it would hit this machine".to_string());
        }
        if let Some(layer) = attack.layer.filter(|layer| !self.protection.holds(*layer)) {
            return Verdict::Skipped(format!("{} does not hold here", format!("{layer:?}").to_lowercase()));
        }
        let limits = Limits { wall_ms_max: attack.seconds * 1000, ..self.policy.limits.clone() };
        let mut session = match Session::start(&Policy { limits, ..self.policy.clone() }) {
            Ok(session) => session,
            Err(error) => return Verdict::Failed(format!("its session did not start: {error}")),
        };
        let verdict = match try_cells(attack, &mut session) {
            Ok(verdict) => verdict,
            Err(reason) => return Verdict::Failed(reason),
        };
        match next_cell_works(&mut session).and_then(|()| self.look()) {
            Ok(()) => verdict,
            Err(reason) => Verdict::Failed(format!("{reason}; the attack itself: {verdict:?}")),
        }
    }

    /// Whether the session beside is as it was.
    fn look(&mut self) -> Result<(), String> {
        match self.bystander.run(&format!("(sum(mine), open('{MARKER}').read())"), &mut |_| {}) {
            Ok(cell) if cell.state == State::Kept && cell.observation(100) == "(499500, 'mine')" => Ok(()),
            Ok(cell) => Err(format!("another session said {:?} `{}`", cell.state, cell.observation(500))),
            Err(error) => Err(format!("another session failed: {error}")),
        }
    }
}

impl Iterator for Checkup {
    type Item = Finding;

    fn next(&mut self) -> Option<Finding> {
        let attack = self.waiting.next()?;
        let started = Instant::now();
        let verdict = self.attack(&attack);
        Some(Finding { attack, verdict, took: started.elapsed() })
    }
}

fn try_cells(attack: &Attack, session: &mut Session) -> Result<Verdict, String> {
    let mut verdict = Err("it has no cells".to_string());
    for cell in &attack.cells {
        let cell = session.run(cell, &mut |_| {}).map_err(|error| format!("no answer: {error}"))?;
        verdict = Ok(attack.judge(&cell));
    }
    verdict
}

/// Whether code runs after an attack, in what is left or in a fresh interpreter.
///
/// # Errors
/// What came instead.
pub fn next_cell_works(session: &mut Session) -> Result<(), String> {
    // A loss is said once, by the cell that finds out; a state that was rolled back may have been hit as well.
    for attempt in 0.. {
        let cell = session.run("6 * 7", &mut |_| {}).map_err(|error| format!("the next cell: no answer: {error}"))?;
        let is_right = cell.value.text().is_some_and(|text| text == "42");
        match cell.state {
            State::Kept | State::Lost if is_right => return Ok(()),
            State::Lost if attempt == 0 => {}
            State::RolledBack if attempt < 2 => {}
            state => return Err(format!("the next cell {:?}, {state:?}: `{}`", cell.end, cell.observation(500))),
        }
    }
    unreachable!("a cell that works and one that does not both return")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_attacks_of_the_doctor_are_in_the_library() {
        let attacks = attacks();
        assert!((25..=45).contains(&attacks.len()), "{}", attacks.len());
        let layers = [Layer::Network, Layer::Filesystem, Layer::Signals, Layer::Identity, Layer::Privileges];
        for layer in layers.into_iter().chain([Layer::Memory, Layer::Processes, Layer::Disk, Layer::Syscalls]) {
            assert!(attacks.iter().any(|attack| attack.layer == Some(layer)), "{layer:?}");
        }
    }

    #[test]
    fn without_a_sandbox_nothing_is_attacked() {
        let policy = Policy { strongest: Rung::None, weakest: Rung::None, imports: Vec::new(), ..Policy::default() };
        let mut checkup = Checkup::begin(&policy).unwrap();
        assert!(checkup.all(|finding| matches!(finding.verdict, Verdict::Skipped(_))));
    }
}
