//! A session: one Python that keeps its variables from cell to cell, its workspace, and the handle that stops it.

mod jail; // its processes, as the host sees them

mod yard; // what the branches of a session share

mod costs; // memory of what is kept for undo

mod run; // one cell, from the request to the result

mod calls; // the tools that it calls

mod check; // whether code is Python

mod interrupt; // stopping a cell from another thread

mod history; // undo and branch

mod replay; // running cells again where a state could not be kept

mod record; // sessions that outlive the host: written down, and restored

mod learn; // functions that are kept for later sessions

pub use history::Restored;
pub use interrupt::Interrupter;
pub use record::Recovery;

use crate::bundle::Bundle;
use crate::capture::Capture;
use crate::cgroup::{self, Group};
use crate::journal::{Journal, JournalError, RecordedCell};
use crate::launcher::client::{self, Launcher};
use crate::protection::Protection;
use crate::tools::{Call, Toolbox};
use crate::wire::fields::Writer;
use crate::workspace::Files;
use crate::{Policy, Rung, SandboxError, interpreter, scratch};
use history::{Point, Step};
use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use yard::FIRST_LINE;
pub(crate) use yard::Yard;

/// Where a piece of output came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// File descriptor 1.
    Stdout,
    /// File descriptor 2.
    Stderr,
}

impl Stream {
    /// Of a frame that carries output.
    fn of_tag(tag: u8) -> Option<Stream> {
        match tag {
            b'O' => Some(Stream::Stdout),
            b'E' => Some(Stream::Stderr),
            _ => None,
        }
    }
}

/// Something that became visible while a cell ran. All text is what untrusted code wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event<'a> {
    /// Counts up by one from the start of the session.
    pub sequence: u64,
    /// What it is.
    pub kind: Kind<'a>,
}

/// See [`Event`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind<'a> {
    /// Output of the cell.
    Output {
        /// Where it was written to.
        stream: Stream,
        /// Whole characters.
        text: &'a str,
    },
    /// Output of what earlier cells left running.
    Late {
        /// Where it was written to.
        stream: Stream,
        /// Whole characters.
        text: &'a str,
    },
    /// A figure, a table, or what else was displayed.
    Display(&'a Bundle),
}

/// What a session uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Usage {
    /// Memory of all its processes and of its disk, in bytes, where it is counted.
    pub memory_bytes: Option<u64>,
    /// Processes and threads, where they are counted.
    pub processes: Option<u64>,
    /// Copies of files that are kept for undo, in bytes on the disk of the host.
    pub snapshot_bytes: u64,
}

/// Cells back to which the files are kept.
const SNAPSHOTS_MAX: usize = 1000;

/// What is said of a folder of the host after a cell that had to be killed.
const LEFT_ALONE: &str = "the workspace is a folder of the user, which is left as it is";

/// Called for each event, in order. Output waits, and in the end the cell, for it to return.
pub type OnEvent<'a> = dyn FnMut(Event<'_>) + 'a;

/// One confined Python with its workspace. Dropping it, and its branches, kills what it started.
#[derive(Debug)]
pub struct Session {
    yard: Arc<Mutex<Yard>>,
    /// The line of the yard that is this session's, and the parked line or checkpoint that it goes on from.
    line: u64,
    entry: u64,
    /// Cells that had their effect, oldest first.
    steps: Vec<Step>,
    /// The state now.
    tip: Point,
    policy: Policy,
    protection: Protection,
    /// Cells in a row that ended with a rollback.
    rollbacks: usize,
    /// While a cell is run again: its calls of tools whose results were not asked for yet.
    earlier: Option<Vec<Call>>,
    /// Why files are not as the next cell would be told that they are.
    unrestored: Option<String>,
    sequence: u64,
    late: Capture,
    /// Output of earlier cells that came when nobody listened.
    unshown: Vec<(Stream, String)>,
    /// Output that was too long to be kept in memory.
    outputs: tempfile::TempDir,
    interrupter: Interrupter,
    wake: UnixStream,
    journal: Option<Journal>,
    /// Why the journal could not take the last event; the next cell is refused with it.
    unwritten: Option<JournalError>,
}

impl Session {
    /// Start an interpreter under `policy`, on the best rung that holds on this machine.
    ///
    /// # Errors
    /// When there is no usable Python, when the workspace cannot be used, or when only rungs hold that are weaker than
    /// the policy accepts.
    pub fn start(policy: &Policy) -> Result<Session, SandboxError> {
        let mut policy = policy.clone();
        policy.workspace = policy.workspace.as_deref().map(usable_folder).transpose()?;
        let interpreter = interpreter::find(&policy.python)?;
        let (mut yard, protection) = open_best(&policy, &interpreter)?;
        define_tools(&mut yard, &policy)?;
        let yard = Arc::new(Mutex::new(yard));
        let mut session = Session::over(yard.clone(), FIRST_LINE, policy, protection)?;
        session.save(&mut lock(&yard)); // the state before the first cell
        Ok(session)
    }

    fn over(
        yard: Arc<Mutex<Yard>>,
        line: u64,
        policy: Policy,
        protection: Protection,
    ) -> Result<Session, SandboxError> {
        let (wake, wake_sender) = UnixStream::pair().map_err(SandboxError::system("making a socket pair"))?;
        for end in [&wake, &wake_sender] {
            end.set_nonblocking(true).map_err(SandboxError::system("preparing a socket"))?;
        }
        let late = Capture::new(policy.limits.output_bytes_max);
        let outputs = crate::scratch::folder();
        let interrupter = Interrupter::new(wake_sender);
        let (steps, tip) = (Vec::new(), Point::default());
        Ok(Session {
            yard,
            line,
            entry: line,
            steps,
            tip,
            policy,
            protection,
            rollbacks: 0,
            earlier: None,
            unrestored: None,
            sequence: 0,
            late,
            unshown: Vec::new(),
            outputs: outputs.map_err(SandboxError::system("making a private folder"))?,
            interrupter,
            wake,
            journal: None,
            unwritten: None,
        })
    }

    /// Another session over the same processes, that goes on from checkpoint `entry`.
    fn beside(&self, entry: u64) -> Result<Session, SandboxError> {
        Session::over(self.yard.clone(), entry, self.policy.clone(), self.protection.clone())
    }

    /// Make this session's line the one that runs.
    fn activate(&mut self, yard: &mut Yard) -> Result<(), SandboxError> {
        if yard.active == self.line {
            return Ok(());
        }
        yard.finish_saving(&mut |_, _| {});
        let unrestored = yard.switch(self.line, self.entry).map_err(SandboxError::Branch)?;
        self.unrestored = unrestored.or(self.unrestored.take());
        if std::mem::replace(&mut self.entry, self.line) != self.line {
            self.save(yard); // a line that begins with a checkpoint has used it up
        }
        Ok(())
    }

    /// Make the files in the workspace those of this session: its branches share the place, and it holds those of the one
    /// that ran last. Until another one runs.
    ///
    /// # Errors
    /// When the processes of the session are gone.
    pub fn attend(&mut self) -> Result<(), SandboxError> {
        let yard = self.yard.clone();
        self.activate(&mut lock(&yard))
    }

    /// Let `toolbox` make the calls of cells from now on. It has the tools that the session was started with.
    pub fn set_toolbox(&mut self, toolbox: Arc<dyn Toolbox>) {
        self.policy.tools = Some(toolbox);
    }

    /// Ask for a checkpoint of the state now, to be heard of later.
    fn save(&mut self, yard: &mut Yard) {
        self.tip = Point { snapshot: self.tip.snapshot, unkept: self.tip.unkept.take(), ..Point::default() };
        if self.policy.limits.checkpoints_max == 0 {
            self.tip.unclean = Some("checkpoints are switched off".to_string());
            return;
        }
        yard.save();
    }

    /// A cell has had its effect: keep the point before it, and as many of those as the limits allow.
    fn advance(&mut self, yard: &mut Yard, record: RecordedCell, calls: &[Call]) {
        let before = std::mem::take(&mut self.tip);
        self.steps.push(Step { record: Some(record), before, calls: calls.into(), sequence: None });
        // First the fork: the next cell waits for it, and the end of an old one slows it down.
        self.save(yard);
        let limits = self.policy.limits.clone();
        let usage = yard.usage();
        let is_crowded = usage.memory_bytes.is_some_and(|bytes| bytes > limits.memory_bytes_max / 4 * 3);
        let kept_max = if is_crowded { 1 } else { limits.checkpoints_max };
        self.give_up(kept_max, |point| point.checkpoint.take(), |id| yard.drop_checkpoint(id));
        // Files are cheap to keep: states that are run again find them as they were.
        let is_crowded = usage.snapshot_bytes > limits.checkpoint_bytes_max / 4 * 3;
        let kept_max = if is_crowded { 1 } else { SNAPSHOTS_MAX };
        self.give_up(kept_max, |point| point.snapshot.take(), |id| yard.forget_snapshot(id));
    }

    /// Give up the oldest checkpoints while all of them take more memory than they may.
    fn bound_memory(&mut self, yard: &mut Yard) {
        let mut excess = yard.costs.take_excess();
        for step in &mut self.steps {
            if excess > 0
                && let Some(id) = step.before.checkpoint.take()
            {
                excess = excess.saturating_sub(yard.costs.of(id));
                yard.drop_checkpoint(id);
            }
        }
    }

    /// Of what `take` takes out of the points before the cells, keep the newest `kept_max`.
    fn give_up<T>(&mut self, kept_max: usize, take: impl Fn(&mut Point) -> Option<T>, mut forget: impl FnMut(T)) {
        let mut kept = 0;
        for step in self.steps.iter_mut().rev() {
            let mut point = step.before.clone();
            if let Some(thing) = take(&mut point) {
                kept += 1;
                if kept > kept_max {
                    forget(thing);
                    step.before = point;
                }
            }
        }
    }

    /// A handle that stops the running cell from another thread.
    pub fn interrupter(&self) -> Interrupter {
        self.interrupter.clone()
    }

    /// What stands between cells and this machine.
    pub fn protection(&self) -> &Protection {
        &self.protection
    }

    /// The workspace, for files in and out. Works while a cell runs.
    pub fn files(&self) -> Arc<Files> {
        lock(&self.yard).files.clone()
    }

    /// The folder that cells start in, as they see it.
    pub fn workspace(&self) -> PathBuf {
        lock(&self.yard).jail.workspace.clone()
    }

    /// What the session uses now, its branches and checkpoints included.
    pub fn usage(&self) -> Usage {
        lock(&self.yard).usage()
    }

    /// Version of the interpreter: `3.11.7`.
    pub fn python_version(&self) -> String {
        lock(&self.yard).jail.python.clone()
    }

    /// What the proxy let through and what it did not, newest last.
    pub fn network_decisions(&self) -> Vec<crate::proxy::Decision> {
        lock(&self.yard).decisions()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if Arc::strong_count(&self.yard) == 1 {
            return; // all of it goes
        }
        let mut yard = lock(&self.yard);
        self.steps.iter().for_each(|step| yard.forget(&step.before));
        yard.forget(&self.tip);
        yard.abandon(self.line, self.entry);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A session that panicked in the middle of a cell is found dead or out of step, and replaced.
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The best rung on which a session really opens.
fn open_best(policy: &Policy, interpreter: &interpreter::Interpreter) -> Result<(Yard, Protection), SandboxError> {
    // What hosts that are gone left behind is removed; and groups are looked for while this process has no children,
    // because a host that shares its group with others cannot make one beneath it (cgroup v2).
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        cgroup::sweep();
        scratch::sweep();
        drop(Group::create(&Yard::group_limits(policy)));
    });
    let mut policy = policy.clone();
    let mut refusals = Vec::new();
    loop {
        let launcher: Arc<Launcher> =
            client::find(&policy, interpreter, policy.workspace.clone()).map_err(|error| error.after(&refusals))?;
        let rung = launcher.begin.rung;
        match Yard::open(launcher.clone(), &policy) {
            Ok(yard) => {
                let refusals = [refusals, launcher.refusals.clone()].concat();
                let protection = Protection::of(&yard, &launcher, &policy, refusals);
                return Ok((yard, protection));
            }
            Err(SandboxError::NoStart { reason, .. }) if rung < policy.weakest => {
                refusals.push(crate::Refusal { rung, reason });
                policy.strongest = Rung::ALL[rung as usize + 1];
            }
            Err(error) => return Err(error),
        }
    }
}

/// Make the tools of the host known to a fresh interpreter.
fn define_tools(yard: &mut Yard, policy: &Policy) -> Result<(), SandboxError> {
    for tool in policy.tools.iter().flat_map(|toolbox| toolbox.tools()) {
        let fields = Writer::default().put("tool", &tool.name).put("signature", &tool.signature);
        let answer = yard.command(b'D', fields.put("doc", &tool.doc));
        answer.map_err(|reason| SandboxError::Tool { name: tool.name.clone(), reason })?;
    }
    Ok(())
}

fn usable_folder(path: &Path) -> Result<PathBuf, SandboxError> {
    let failed = |source| SandboxError::Workspace { path: path.to_path_buf(), source };
    let path = path.canonicalize().map_err(failed)?;
    if path.is_dir() { Ok(path) } else { Err(failed(ErrorKind::NotADirectory.into())) }
}
