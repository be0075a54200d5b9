//! `--gpus N`: this program is rank 0, and starts itself as the others.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Meeting, Place, RankError, RendezvousPoint, Team};

/// Which process started a rank: it ends with that one.
const PARENT: &str = "CODEACT_PARENT_PROCESS";

/// Lets this process end at once when the one ends that started it as a rank, however that ends. Nothing for others.
///
/// # Errors
/// When it has ended already.
pub fn end_with_parent() -> Result<(), RankError> {
    #[cfg(target_os = "linux")]
    if let Some(parent) = std::env::var_os(PARENT) {
        let lost = |why: String| RankError::Lost { rank: 0, why };
        let set = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
        set.map_err(|error| lost(error.to_string()))?;
        let now = rustix::process::getppid().map(|process| process.as_raw_nonzero().to_string());
        if now.is_none_or(|now| *now != *parent) {
            return Err(lost("it ended at its start".to_owned()));
        }
    }
    Ok(())
}

/// The ranks that this program started; those that are left when it is dropped are ended.
#[derive(Debug)]
pub struct Started {
    /// Rank 1 first.
    children: Arc<Mutex<Vec<Child>>>,
}

fn locked(children: &Mutex<Vec<Child>>) -> MutexGuard<'_, Vec<Child>> {
    children.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Started {
    /// Starts ranks 1 to `count` - 1 on this machine, as told by the variables that torchrun sets. They are in process
    /// groups of their own, so that Ctrl-C comes to rank 0 alone, which ends all of them together; what they say on
    /// stderr goes where this program's does.
    ///
    /// * `program`: what to start; without it this program.
    /// * `arguments`: of the program, as this one has them, without `--gpus`.
    ///
    /// Returns who rank 0 is, and where it listens already.
    ///
    /// # Errors
    /// When one cannot be started; then none is left.
    pub fn start(
        program: Option<PathBuf>,
        arguments: &[std::ffi::OsString],
        count: usize,
    ) -> Result<(Started, Team, RendezvousPoint), RankError> {
        let program = program.map_or_else(std::env::current_exe, Ok);
        let program = program.map_err(|error| RankError::Start {
            rank: 1,
            program: PathBuf::from("this program"),
            what: error.to_string(),
        })?;
        let point = RendezvousPoint::local()?;
        let meeting = point.meeting()?;
        let started = Started { children: Arc::default() };
        for rank in 1..count {
            let mut command = Command::new(&program);
            command.args(arguments).envs(variables(rank, count, &meeting)).env_remove("TORCHELASTIC_USE_AGENT_STORE");
            command.env(PARENT, std::process::id().to_string());
            command.stdin(Stdio::null()).stdout(Stdio::null());
            #[cfg(unix)]
            std::os::unix::process::CommandExt::process_group(&mut command, 0);
            let child = command.spawn();
            let failed =
                |error: std::io::Error| RankError::Start { rank, program: program.clone(), what: error.to_string() };
            locked(&started.children).push(child.map_err(failed)?);
        }
        let children = Arc::clone(&started.children);
        let point = point.watching(move || {
            let mut children = locked(&children);
            let mut ended =
                (1..).zip(children.iter_mut()).filter_map(|(rank, child)| Some((rank, child.try_wait().ok()??)));
            ended.next().map(|(rank, status)| (rank, format!("it ended at its start ({status})")))
        });
        Ok((started, Team { place: Place { rank: 0, count }, local_rank: 0, meeting }, point))
    }

    /// Waits for all of them to end by themselves.
    pub fn wait(self) {
        for mut child in locked(&self.children).drain(..) {
            // Whether it went well for them is known from what they said to rank 0.
            let _ = child.wait();
        }
    }
}

fn variables(rank: usize, count: usize, meeting: &Meeting) -> [(&'static str, String); 5] {
    [
        ("RANK", rank.to_string()),
        ("WORLD_SIZE", count.to_string()),
        ("LOCAL_RANK", rank.to_string()),
        ("MASTER_ADDR", meeting.host.clone()),
        ("MASTER_PORT", meeting.port.to_string()),
    ]
}

impl Drop for Started {
    fn drop(&mut self) {
        for child in locked(&self.children).iter_mut() {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
