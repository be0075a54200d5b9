//! A Jupyter kernel in place of a sandboxed Python. **Not a sandbox:** its code has all rights of the user.
//!
//! For people who want their own kernels: with their packages, on their data, or in another language. Cells and events
//! are those of a [`crate::Session`]; there is no undo, no journal, no workspace, and of the limits only those on time
//! and output.

mod spec; // which kernels are installed

mod process; // starting one

mod channels; // talking to it

mod collected; // what it says, as a cell

mod error; // why one cannot be used

pub use error::KernelError;

use crate::capture::Capture;
use crate::cell::{Cell, CellEnd, State};
use crate::{
    Event, Files, Interpreter, Interrupter, Kind, OnEvent, Policy, Protection, Restored, Rung, SandboxError, Stream,
};
use channels::{Channels, Heard};
use collected::Collected;
use jupyter_protocol::{ConnectionInfo, ExecuteRequest, JupyterMessage, JupyterMessageContent, Stdio};
use process::{Process, no_start};
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a kernel may take to start.
const START_MAX: Duration = Duration::from_secs(60);
/// What one that runs already may take to answer: it answers when it has nothing else to do.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// From one step of the ladder to the next: interrupt, interrupt again, kill.
const RUNG: Duration = Duration::from_millis(400);
/// How often it is looked whether the kernel is still there.
const LOOK: Duration = Duration::from_millis(100);
/// From the request to end to the end.
const FAREWELL_MAX: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
enum Source {
    Name(String),
    File(PathBuf),
}

/// A Jupyter kernel that keeps its variables from cell to cell. **Not a sandbox.** Dropping it ends the kernel, unless
/// it ran before.
pub struct Kernel {
    source: Source,
    policy: Policy,
    protection: Protection,
    /// `None`: it is gone, and starts again with the next cell.
    live: Option<Live>,
    sequence: u64,
    /// Cells that ran to their end, whatever that was.
    cells: usize,
    late: Capture,
    /// Of outputs that are kept whole.
    folder: tempfile::TempDir,
    interrupter: Interrupter,
    wake: UnixStream,
}

/// A kernel that is there.
struct Live {
    channels: Channels,
    /// `None`: it was not started here.
    process: Option<Process>,
    /// A cell that could not be ended.
    unfinished: Option<Collected>,
}

impl Live {
    /// How it ended, if it has.
    fn ended(&mut self) -> Option<String> {
        match &mut self.process {
            Some(process) => process.ended(),
            None => self.channels.is_silent().then(|| "the kernel does not answer any more".to_string()),
        }
    }

    fn interrupt(&mut self) {
        match &mut self.process {
            Some(process) if !process.takes_messages => process.interrupt(),
            _ => self.channels.interrupt(),
        }
    }
}

impl Kernel {
    /// [`Kernel::connect`] if `kernel` is a path that ends in `.json`, else [`Kernel::start`].
    ///
    /// # Errors
    /// Those of either.
    pub fn open(kernel: &str, policy: &Policy) -> Result<Kernel, SandboxError> {
        match kernel.ends_with(".json") {
            true => Kernel::connect(Path::new(kernel), policy),
            false => Kernel::start(kernel, policy),
        }
    }

    /// Start the kernel that is installed as `name`, in the workspace of the policy or else in the current folder.
    ///
    /// # Errors
    /// When there is none of that name, or it does not start.
    pub fn start(name: &str, policy: &Policy) -> Result<Kernel, SandboxError> {
        Kernel::of(Source::Name(name.to_string()), policy)
    }

    /// Connect to the running kernel of the connection file `path`.
    ///
    /// # Errors
    /// When the file is not one, or the kernel does not answer.
    pub fn connect(path: &Path, policy: &Policy) -> Result<Kernel, SandboxError> {
        Kernel::of(Source::File(path.to_path_buf()), policy)
    }

    fn of(source: Source, policy: &Policy) -> Result<Kernel, SandboxError> {
        let (wake, wake_sender) = UnixStream::pair().map_err(SandboxError::system("making a socket pair"))?;
        for end in [&wake, &wake_sender] {
            end.set_nonblocking(true).map_err(SandboxError::system("preparing a socket"))?;
        }
        let folder = tempfile::Builder::new().prefix("codeact-outputs-").tempdir();
        let folder = folder.map_err(SandboxError::system("making a folder for outputs"))?;
        let mut kernel = Kernel {
            source,
            policy: policy.clone(),
            protection: Protection {
                rung: Rung::None,
                refusals: Vec::new(),
                layers: Vec::new(),
                missing_modules: Vec::new(),
            },
            live: None,
            sequence: 0,
            cells: 0,
            late: Capture::new(policy.limits.output_bytes_max),
            folder,
            interrupter: Interrupter::new(wake_sender),
            wake,
        };
        kernel.live = Some(kernel.bring_up()?);
        Ok(kernel)
    }

    fn bring_up(&self) -> Result<Live, SandboxError> {
        let (mut process, info, wait) = match &self.source {
            Source::Name(name) => {
                let (process, info) = Process::start(name, &self.policy)?;
                (Some(process), info, START_MAX)
            }
            Source::File(path) => (None, read_connection(path).map_err(SandboxError::Kernel)?, ANSWER_MAX),
        };
        let opened = Channels::open(&info, process.as_mut(), &self.wake, Instant::now() + wait);
        let channels = opened.map_err(|reason| {
            let stderr = process.as_ref().map(Process::stderr).filter(|text| !text.is_empty());
            no_start(&self.name(), [reason].into_iter().chain(stderr).collect::<Vec<_>>().join("\n"))
        })?;
        Ok(Live { channels, process, unfinished: None })
    }

    fn name(&self) -> String {
        match &self.source {
            Source::Name(name) => name.clone(),
            Source::File(path) => path.display().to_string(),
        }
    }

    /// The kernel, taken out, and whether it had to be brought up again because it ended between two cells.
    fn take_live(&mut self) -> Result<(Live, bool), SandboxError> {
        let Some(mut live) = self.live.take() else {
            return Ok((self.bring_up()?, false)); // the cell that lost it said so
        };
        live.channels.trust();
        if live.ended().is_some() {
            drop(live);
            return Ok((self.bring_up()?, true));
        }
        Ok((live, false))
    }

    /// Run the request to its end. Gives the cell, and the kernel if it is still there.
    fn exchange(
        &mut self,
        mut live: Live,
        code: &str,
        on_event: &mut OnEvent<'_>,
    ) -> Result<(Cell, Option<Live>), SandboxError> {
        let request = ExecuteRequest {
            code: code.to_string(),
            silent: false,
            store_history: true,
            user_expressions: None,
            allow_stdin: false,
            stop_on_error: true,
        };
        let deadline = Instant::now() + Duration::from_millis(self.policy.limits.wall_ms_max);
        let id = live.channels.request(request.into()).map_err(|reason| no_start(&self.name(), reason))?;
        let mut collected = Collected::new(id, &self.policy.limits, self.folder.path());
        let mut stopped: Option<CellEnd> = None;
        let (mut rungs, mut next_rung) = (0, deadline);
        while !collected.is_over() {
            if stopped.is_none() && self.interrupter.is_wanted() {
                (stopped, next_rung) = (Some(CellEnd::Interrupted), Instant::now());
            }
            if Instant::now() >= next_rung {
                stopped = stopped.or(Some(CellEnd::TimedOut));
                if rungs == 2 {
                    return Ok(give_up(live, collected, stopped));
                }
                live.interrupt();
                (rungs, next_rung) = (rungs + 1, Instant::now() + RUNG);
            }
            match live.channels.listen(next_rung.min(Instant::now() + LOOK)) {
                Heard::Output(message) | Heard::Answer(message) => {
                    self.hear(&live, &mut collected, *message, on_event);
                }
                Heard::Woken => {}
                Heard::Nothing => {
                    if let Some(status) = live.ended() {
                        self.last_words(&mut live, &mut collected, on_event);
                        return Ok((collected.finish(stopped, Some(status), State::Lost), None));
                    }
                }
            }
        }
        if collected.is_leaving
            && let Some(status) = farewell(&mut live)
        {
            return Ok((collected.finish(stopped, Some(status), State::Lost), None));
        }
        Ok((collected.finish(stopped, None, State::Kept), Some(live)))
    }

    /// One message: of the cell, of an earlier one, or of another client, whose business it is.
    fn hear(&mut self, live: &Live, collected: &mut Collected, message: JupyterMessage, on_event: &mut OnEvent<'_>) {
        if collected.is_mine(&message) {
            let sequence = &mut self.sequence;
            return collected.take(message, &mut |kind| emit(sequence, kind, on_event));
        }
        if live.channels.is_ours(&message)
            && let JupyterMessageContent::StreamContent(content) = message.content
            && let Some(text) = self.late.push(content.text.as_bytes())
        {
            let stream = match content.name {
                Stdio::Stdout => Stream::Stdout,
                Stdio::Stderr => Stream::Stderr,
            };
            emit(&mut self.sequence, Kind::Late { stream, text: &text }, on_event);
        }
    }

    /// What arrived before the kernel ended.
    fn last_words(&mut self, live: &mut Live, collected: &mut Collected, on_event: &mut OnEvent<'_>) {
        let end = Instant::now() + RUNG;
        while Instant::now() < end {
            match live.channels.listen(Instant::now() + LOOK / 2) {
                Heard::Output(message) | Heard::Answer(message) => {
                    self.hear(live, collected, *message, on_event);
                }
                Heard::Woken => {}
                Heard::Nothing => break,
            }
        }
    }

    /// A cell that could not be ended must have ended by now.
    fn catch_up(&self, live: &mut Live) -> Result<(), SandboxError> {
        let Some(mut unfinished) = live.unfinished.take() else { return Ok(()) };
        let end = Instant::now() + Duration::from_secs(1);
        while !unfinished.is_over() {
            if Instant::now() > end {
                live.unfinished = Some(unfinished);
                return Err(SandboxError::Kernel(KernelError::Busy { kernel: self.name() }));
            }
            if let Heard::Output(message) | Heard::Answer(message) = live.channels.listen(end)
                && unfinished.is_mine(&message)
            {
                unfinished.take(*message, &mut |_| {}); // its result was given when its time was over
            }
        }
        Ok(())
    }
}

impl Interpreter for Kernel {
    fn run(&mut self, code: &str, on_event: &mut OnEvent<'_>) -> Result<Cell, SandboxError> {
        if self.interrupter.take() {
            return Ok(Cell::not_run());
        }
        let (mut live, was_lost) = self.take_live()?;
        if let Err(error) = self.catch_up(&mut live) {
            self.live = Some(live);
            return Err(error);
        }
        let (mut cell, live) = self.exchange(live, code, on_event)?;
        self.live = live;
        self.interrupter.clear();
        self.cells += 1;
        if was_lost {
            cell.state = State::Lost;
        }
        Ok(cell)
    }

    fn interrupter(&self) -> Interrupter {
        self.interrupter.clone()
    }

    fn protection(&self) -> &Protection {
        &self.protection
    }

    fn cells(&self) -> usize {
        self.cells
    }

    fn undo(&mut self, count: usize) -> Result<Restored, SandboxError> {
        match count {
            0 => Ok(Restored::Resumed),
            _ => Err(unsupported("take cells back")),
        }
    }

    fn branch(&mut self, _at: usize, _: Option<&Path>) -> Result<(Box<dyn Interpreter>, Restored), SandboxError> {
        Err(unsupported("go on from an earlier cell in a second session"))
    }

    fn files(&self) -> Option<Arc<Files>> {
        None
    }

    fn upload(&mut self, _path: &str, _content: &mut dyn Read, _bytes_max: u64) -> Result<u64, SandboxError> {
        Err(unsupported("take files"))
    }
}

fn unsupported(what: &'static str) -> SandboxError {
    SandboxError::Unsupported { backend: "a Jupyter kernel", what }
}

/// The cell does not react. A kernel that was started here is killed, another one left alone.
fn give_up(mut live: Live, collected: Collected, stopped: Option<CellEnd>) -> (Cell, Option<Live>) {
    match live.process.take() {
        Some(mut process) => {
            process.kill();
            (collected.finish(stopped, None, State::Lost), None)
        }
        None => {
            let (cell, unfinished) = collected.finish_early(stopped);
            (cell, Some(Live { unfinished: Some(unfinished), ..live }))
        }
    }
}

/// How the kernel ended after it was asked to by its code.
fn farewell(live: &mut Live) -> Option<String> {
    let Some(process) = &mut live.process else { return Some("the code asked the kernel to end".to_string()) };
    process.wait(FAREWELL_MAX)
}

fn read_connection(path: &Path) -> Result<ConnectionInfo, KernelError> {
    let bad = |reason: String| KernelError::BadFile { path: path.to_path_buf(), reason };
    let text = std::fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
    let info: ConnectionInfo = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
    match info.signature_scheme.as_str() {
        "hmac-sha256" => Ok(info),
        scheme => Err(bad(format!("signatures by `{scheme}` are not known"))),
    }
}

fn emit(sequence: &mut u64, kind: Kind<'_>, on_event: &mut OnEvent<'_>) {
    *sequence += 1;
    on_event(Event { sequence: *sequence, kind });
}
