//! A session: one interpreter at a time, its folders, and the handle that stops it.

use crate::confine::Identity;
use crate::exchange::{Exchange, OnOutput, Outcome, discard_waiting};
use crate::frame::{FRAME_BYTES_MAX, NONCE_BYTES, Request};
use crate::process::{self, Place, Process};
use crate::{Cell, CellEnd, Limits, Policy, Protection, SandboxError, interpreter};
use std::io::{ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// Starting Python on a loaded machine takes a while.
const START_MAX: Duration = Duration::from_secs(60);
const CELL_BYTES_MAX: usize = FRAME_BYTES_MAX - NONCE_BYTES - 1;

/// Where a piece of output came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// File descriptor 1.
    Stdout,
    /// File descriptor 2.
    Stderr,
}

/// One confined Python with its workspace. Dropping it kills what it started and removes its private folders.
#[derive(Debug)]
pub struct Session {
    // Fields drop in this order: the interpreter first, then its folders.
    process: Option<Process>,
    place: Place,
    limits: Limits,
    protection: Protection,
    interrupter: Interrupter,
    wake: UnixStream,
    _private: tempfile::TempDir,
}

/// Stops the cell that is running, or, if none is, the next one. [`Interrupter::clear`] takes the wish back.
///
/// The wish outlives the moment so that it cannot fall between the decision to run a cell and its start.
#[derive(Debug, Clone)]
pub struct Interrupter(Arc<Mutex<Interrupt>>);

#[derive(Debug)]
struct Interrupt {
    is_wanted: bool,
    wake: UnixStream,
}

impl Interrupter {
    /// Interrupt the cell as Ctrl-C would; what does not end within 2 s is killed and loses its variables.
    pub fn interrupt(&self) {
        let mut state = self.state();
        state.is_wanted = true;
        // Full means that a wake-up is already waiting.
        let _ = state.wake.write(&[1]);
    }

    /// Forget an interrupt that has not stopped a cell.
    pub fn clear(&self) {
        self.state().is_wanted = false;
    }

    /// Whether a cell should stop before it starts; forgets the wish.
    fn take(&self) -> bool {
        std::mem::take(&mut self.state().is_wanted)
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.state().is_wanted
    }

    fn state(&self) -> MutexGuard<'_, Interrupt> {
        // A flag only: whatever a panicking thread left is valid.
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Session {
    /// Start an interpreter under `policy`.
    ///
    /// # Errors
    /// When there is no usable Python, or the workspace cannot be used. A layer of protection that this host refuses
    /// is no error: see [`Session::protection`].
    pub fn start(policy: &Policy) -> Result<Session, SandboxError> {
        let interpreter = interpreter::find(&policy.python)?;
        let private = tempfile::Builder::new()
            .prefix("codeact-")
            .tempdir()
            .map_err(SandboxError::system("making a private folder"))?;
        let place = prepare(interpreter, policy.workspace.as_deref(), private.path())?;
        let (wake, wake_sender) = UnixStream::pair().map_err(SandboxError::system("making a socket pair"))?;
        for end in [&wake, &wake_sender] {
            end.set_nonblocking(true).map_err(SandboxError::system("preparing a socket"))?;
        }
        let interrupt = Interrupt { is_wanted: false, wake: wake_sender };
        let process = Process::start(&place, &policy.limits)?;
        let mut session = Session {
            protection: Protection::of(&process, &place),
            process: None,
            place,
            limits: policy.limits.clone(),
            interrupter: Interrupter(Arc::new(Mutex::new(interrupt))),
            wake,
            _private: private,
        };
        session.process = Some(session.greet(process)?);
        Ok(session)
    }

    /// Run `code` as one cell, handing its output to `on_output` while it runs. Variables of earlier cells are there.
    ///
    /// # Errors
    /// When `code` is too large, or a fresh interpreter that was needed did not start. Whatever the code does is a
    /// [`Cell`].
    pub fn run(&mut self, code: &str, on_output: &mut OnOutput<'_>) -> Result<Cell, SandboxError> {
        if code.len() > CELL_BYTES_MAX {
            return Err(SandboxError::CellTooLarge { bytes: code.len(), bytes_max: CELL_BYTES_MAX });
        }
        let mut cell = Cell {
            end: CellEnd::Interrupted,
            stdout: String::new(),
            stderr: String::new(),
            value: None,
            error: None,
            state_lost: false,
        };
        if self.interrupter.take() {
            return Ok(cell);
        }
        // It may have ended between two cells: a thread called os._exit. Otherwise the loss has been reported already.
        let previous = self.process.take();
        let ended_unseen = previous.as_ref().is_some_and(Process::has_exited);
        let mut process = match previous.filter(|_| !ended_unseen) {
            Some(process) => process,
            None => {
                let process = Process::start(&self.place, &self.limits)?;
                self.greet(process)?
            }
        };
        discard_waiting(&mut process.control);
        let mut exchange =
            Exchange::new(Request::Cell(code), Duration::from_millis(self.limits.wall_ms_max), &self.limits)?;
        let outcome = exchange.drive(&mut process, Some((&self.interrupter, &mut self.wake)), on_output);
        self.interrupter.clear();
        self.settle(&mut cell, outcome, process, &mut exchange, on_output);
        cell.state_lost |= ended_unseen;
        Ok(cell)
    }

    /// Turn the outcome into the cell's fields, and keep the process if it can go on.
    fn settle(
        &mut self,
        cell: &mut Cell,
        outcome: Outcome,
        mut process: Process,
        exchange: &mut Exchange,
        on_output: &mut OnOutput<'_>,
    ) {
        (cell.end, cell.state_lost) = (CellEnd::Exited, true);
        match outcome {
            Outcome::Answered(answer) => {
                cell.end = if answer.raised { CellEnd::Raised } else { CellEnd::Finished };
                (cell.value, cell.state_lost) = (answer.value, false);
                cell.error = (!answer.error.is_empty()).then_some(answer.error);
                self.process = Some(process);
            }
            Outcome::Exited => {
                let status = process::describe(process.kill());
                exchange.drain(&process, on_output);
                cell.error = Some(format!("[The Python process ended: {status}.]"));
            }
            Outcome::Unusable(reason) => {
                process.kill();
                exchange.drain(&process, on_output);
                cell.error = Some(format!("[The Python process was ended: {reason}.]"));
            }
            Outcome::Stuck => {
                process.kill();
                exchange.drain(&process, on_output);
            }
        }
        cell.end = exchange.stopped.unwrap_or(cell.end);
        (cell.stdout, cell.stderr) = (exchange.stdout.text(), exchange.stderr.text());
    }

    /// A handle that stops the running cell from another thread.
    pub fn interrupter(&self) -> Interrupter {
        self.interrupter.clone()
    }

    /// Which layers of protection hold for this session.
    pub fn protection(&self) -> &Protection {
        &self.protection
    }

    /// The folder that cells start in.
    pub fn workspace(&self) -> &Path {
        &self.place.workspace
    }

    /// Wait until the runner answers.
    fn greet(&mut self, mut process: Process) -> Result<Process, SandboxError> {
        let mut exchange = Exchange::new(Request::Hello, START_MAX, &self.limits)?;
        let reason = match exchange.drive(&mut process, None, &mut |_, _| {}) {
            Outcome::Answered(_) => return Ok(process),
            Outcome::Exited => process::describe(process.kill()),
            Outcome::Unusable(reason) => reason.to_string(),
            Outcome::Stuck => format!("no answer within {} s", START_MAX.as_secs()),
        };
        exchange.drain(&process, &mut |_, _| {});
        let reason = format!("{reason}\n{}", exchange.stderr.text()).trim_end().to_string();
        Err(SandboxError::NoStart { python: self.place.interpreter.executable.clone(), reason })
    }
}

/// Make the folders of a session and give them to the user it will run as.
fn prepare(
    interpreter: interpreter::Interpreter,
    workspace: Option<&Path>,
    private: &Path,
) -> Result<Place, SandboxError> {
    let failed = |path: &Path| {
        let path = path.to_path_buf();
        move |source| SandboxError::Workspace { path, source }
    };
    let given = workspace.map(|path| path.canonicalize().map_err(failed(path))).transpose()?;
    if let Some(path) = given.as_ref().filter(|path| !path.is_dir()) {
        return Err(failed(path)(ErrorKind::NotADirectory.into()));
    }
    let parent = private.parent().unwrap_or(private);
    let (identity, identity_reason) = process::identity(&interpreter, given.as_deref(), parent);
    let home = private.join("home");
    let work = private.join("work");
    for folder in [&home, &work] {
        std::fs::create_dir(folder).map_err(failed(folder))?;
    }
    if let Identity::User { id, .. } = identity {
        for folder in [private, &home, &work] {
            std::os::unix::fs::chown(folder, Some(id), Some(id)).map_err(failed(folder))?;
        }
    }
    Ok(Place { interpreter, workspace: given.unwrap_or(work), home, identity, identity_reason })
}
