//! The loop that runs one cell: wait on the pipes, the control socket, the clock and the host's wish to stop.

use crate::capture::Capture;
use crate::confine::Identity;
use crate::frame::{self, Answer, Corrupt, Decoder, FRAME_BYTES_MAX, NONCE_BYTES, Nonce, Request};
use crate::process::{self, Place, Process};
use crate::{Cell, CellEnd, Limits, Policy, Protection, SandboxError, interpreter};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Time an interrupted cell has to come to its end before it is killed.
const GRACE: Duration = Duration::from_secs(2);
/// Time an interpreter that closed the control socket has to exit by itself.
const EXIT_GRACE: Duration = Duration::from_millis(500);
/// Starting Python on a loaded machine takes a while.
const START_MAX: Duration = Duration::from_secs(60);
/// An exit that no file descriptor tells of (a forked child holds the socket open) is noticed after this time.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
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

/// Stops the cell that is running now, from any thread. Without a running cell it does nothing.
#[derive(Debug, Clone)]
pub struct Interrupter(Arc<Mutex<Interrupt>>);

#[derive(Debug)]
struct Interrupt {
    is_running: bool,
    is_wanted: bool,
    wake: UnixStream,
}

impl Interrupter {
    /// Interrupt the running cell as Ctrl-C would; what does not end within 2 s is killed and loses its variables.
    pub fn interrupt(&self) {
        let mut state = self.state();
        if state.is_running {
            state.is_wanted = true;
            // Full means that a wake-up is already waiting.
            let _ = state.wake.write(&[1]);
        }
    }

    fn state(&self) -> MutexGuard<'_, Interrupt> {
        // Flags only: whatever a panicking thread left is valid.
        self.0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn set_running(&self, is_running: bool) {
        let mut state = self.state();
        (state.is_running, state.is_wanted) = (is_running, false);
    }
}

/// How the exchange about one cell ended.
enum Outcome {
    Answered(Answer),
    Exited,
    /// The interpreter lives but cannot be talked to any more.
    Unusable(&'static str),
    /// Out of time, and deaf to SIGINT.
    Stuck,
}

/// What one cell has said so far, and what stopped it.
struct Exchange {
    nonce: Nonce,
    request: Vec<u8>,
    sent_bytes: usize,
    decoder: Decoder,
    stdout: Capture,
    stderr: Capture,
    deadline: Instant,
    /// Set once SIGINT was sent.
    stopped: Option<CellEnd>,
}

type OnOutput<'a> = dyn FnMut(Stream, &str) + 'a;

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
        let (wake, wake_sender) =
            UnixStream::pair().map_err(SandboxError::system("making a socket pair"))?;
        for end in [&wake, &wake_sender] {
            end.set_nonblocking(true)
                .map_err(SandboxError::system("preparing a socket"))?;
        }
        let interrupt = Interrupt {
            is_running: false,
            is_wanted: false,
            wake: wake_sender,
        };
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
            return Err(SandboxError::CellTooLarge {
                bytes: code.len(),
                bytes_max: CELL_BYTES_MAX,
            });
        }
        // It may have ended between two cells: a thread called os._exit.
        let mut state_lost = false;
        let mut process = match self.process.take().filter(|process| !process.has_exited()) {
            Some(process) => process,
            None => {
                state_lost = true;
                let process = Process::start(&self.place, &self.limits)?;
                self.greet(process)?
            }
        };
        discard_waiting(&mut process.control);
        let mut exchange = self.exchange(
            Request::Cell(code),
            Duration::from_millis(self.limits.wall_ms_max),
        )?;
        self.interrupter.set_running(true);
        let outcome = exchange.drive(
            &mut process,
            Some((&self.interrupter, &mut self.wake)),
            on_output,
        );
        self.interrupter.set_running(false);
        let mut cell = Cell {
            end: CellEnd::Exited,
            stdout: String::new(),
            stderr: String::new(),
            value: None,
            error: None,
            state_lost: true,
        };
        match outcome {
            Outcome::Answered(answer) => {
                cell.end = if answer.raised {
                    CellEnd::Raised
                } else {
                    CellEnd::Finished
                };
                (cell.value, cell.state_lost) = (answer.value, state_lost);
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
        Ok(cell)
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
        let mut exchange = self.exchange(Request::Hello, START_MAX)?;
        let reason = match exchange.drive(&mut process, None, &mut |_, _| {}) {
            Outcome::Answered(_) => return Ok(process),
            Outcome::Exited => process::describe(process.kill()),
            Outcome::Unusable(reason) => reason.to_string(),
            Outcome::Stuck => format!("no answer within {} s", START_MAX.as_secs()),
        };
        exchange.drain(&process, &mut |_, _| {});
        let reason = format!("{reason}\n{}", exchange.stderr.text())
            .trim_end()
            .to_string();
        Err(SandboxError::NoStart {
            python: self.place.interpreter.executable.clone(),
            reason,
        })
    }

    fn exchange(&self, request: Request<'_>, time: Duration) -> Result<Exchange, SandboxError> {
        let nonce = draw_nonce().map_err(SandboxError::system("drawing a random number"))?;
        Ok(Exchange {
            nonce,
            request: frame::encode(&nonce, request),
            sent_bytes: 0,
            decoder: Decoder::default(),
            stdout: Capture::new(self.limits.output_bytes_max),
            stderr: Capture::new(self.limits.output_bytes_max),
            deadline: Instant::now() + time,
            stopped: None,
        })
    }
}

impl Exchange {
    fn drive(
        &mut self,
        process: &mut Process,
        mut interrupt: Option<(&Interrupter, &mut UnixStream)>,
        on_output: &mut OnOutput<'_>,
    ) -> Outcome {
        let mut control_closed_at: Option<Instant> = None;
        loop {
            let wake_fd = interrupt.as_ref().map_or(-1, |(_, wake)| wake.as_raw_fd());
            self.wait(process, control_closed_at.is_none(), wake_fd);
            self.read_output(process, on_output);
            if control_closed_at.is_none() {
                match self.talk(process) {
                    Talk::Answer(answer) => {
                        // What the runner flushed before its answer is in the pipes now; later output is not waited for.
                        self.drain(process, on_output);
                        return Outcome::Answered(answer);
                    }
                    Talk::Corrupt => {
                        return Outcome::Unusable("the cell wrote to the control channel");
                    }
                    Talk::Closed => control_closed_at = Some(Instant::now()),
                    Talk::Nothing => {}
                }
            }
            if process.has_exited() {
                return Outcome::Exited;
            }
            if control_closed_at.is_some_and(|time| time.elapsed() > EXIT_GRACE) {
                return Outcome::Unusable("the cell closed the control channel");
            }
            if let Some((interrupter, wake)) = &mut interrupt {
                discard_waiting(wake);
                if self.stopped.is_none() && interrupter.state().is_wanted {
                    self.stop(process, CellEnd::Interrupted);
                }
            }
            if Instant::now() >= self.deadline {
                match self.stopped {
                    Some(_) => return Outcome::Stuck,
                    None => self.stop(process, CellEnd::TimedOut),
                }
            }
        }
    }

    fn stop(&mut self, process: &Process, reason: CellEnd) {
        process.interrupt();
        self.stopped = Some(reason);
        self.deadline = Instant::now() + GRACE;
    }

    /// Sleep until something can be read, the rest of the request can be written, or it is time to look at the clock.
    fn wait(&self, process: &Process, control_is_open: bool, wake_fd: RawFd) {
        let can_send = if self.sent_bytes < self.request.len() {
            libc::POLLOUT
        } else {
            0
        };
        let control_fd = if control_is_open {
            process.control.as_raw_fd()
        } else {
            -1
        };
        let entry = |fd, events| libc::pollfd {
            fd,
            events,
            revents: 0,
        };
        let mut entries = [
            entry(control_fd, libc::POLLIN | can_send),
            entry(wake_fd, libc::POLLIN),
            entry(process.stdout.as_raw_fd(), libc::POLLIN),
            entry(process.stderr.as_raw_fd(), libc::POLLIN),
        ];
        let time = self
            .deadline
            .saturating_duration_since(Instant::now())
            .min(LOOK_AGAIN);
        // SAFETY: the entries are live, and their number is right. All four cases of a return are handled by looking.
        unsafe {
            libc::poll(
                entries.as_mut_ptr(),
                entries.len() as libc::nfds_t,
                time.as_millis() as i32 + 1,
            )
        };
    }

    fn read_output(&mut self, process: &Process, on_output: &mut OnOutput<'_>) {
        let mut buffer = [0; 1 << 16];
        for stream in [Stream::Stdout, Stream::Stderr] {
            self.read_once(process, stream, &mut buffer, on_output);
        }
    }

    /// Read what is in the pipes at this moment, and no more: a background process may never stop writing.
    fn drain(&mut self, process: &Process, on_output: &mut OnOutput<'_>) {
        let mut buffer = [0; 1 << 16];
        for stream in [Stream::Stdout, Stream::Stderr] {
            let fd = descriptor(process, stream);
            let mut waiting: libc::c_int = 0;
            // SAFETY: FIONREAD writes one int.
            unsafe { libc::ioctl(fd, libc::FIONREAD, &raw mut waiting) };
            let mut rest = usize::try_from(waiting).unwrap_or(0);
            while rest > 0 {
                let size = rest.min(buffer.len());
                match self.read_once(process, stream, &mut buffer[..size], on_output) {
                    0 => break,
                    count => rest -= count,
                }
            }
        }
    }

    fn read_once(
        &mut self,
        process: &Process,
        stream: Stream,
        buffer: &mut [u8],
        on_output: &mut OnOutput<'_>,
    ) -> usize {
        // SAFETY: the buffer is live and its length is right.
        let count = unsafe {
            libc::read(
                descriptor(process, stream),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
            )
        };
        let Ok(count) = usize::try_from(count) else {
            return 0;
        };
        let capture = if stream == Stream::Stdout {
            &mut self.stdout
        } else {
            &mut self.stderr
        };
        if let Some(text) = capture.push(&buffer[..count]) {
            on_output(stream, &text);
        }
        count
    }

    fn talk(&mut self, process: &mut Process) -> Talk {
        while self.sent_bytes < self.request.len() {
            match process.control.write(&self.request[self.sent_bytes..]) {
                Ok(count) => self.sent_bytes += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Full, or closed; reading tells which.
                Err(_) => break,
            }
        }
        let mut buffer = [0; 1 << 16];
        match process.control.read(&mut buffer) {
            Ok(0) => return Talk::Closed,
            Ok(count) => self.decoder.push(&buffer[..count]),
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                return Talk::Nothing;
            }
            Err(_) => return Talk::Closed,
        }
        loop {
            match self.decoder.next() {
                Ok(Some(answer)) if answer.nonce == self.nonce => return Talk::Answer(answer),
                // An answer to no question of ours: left over, or made up.
                Ok(Some(_)) => {}
                Ok(None) => return Talk::Nothing,
                Err(Corrupt) => return Talk::Corrupt,
            }
        }
    }
}

enum Talk {
    Nothing,
    Answer(Answer),
    Corrupt,
    Closed,
}

fn descriptor(process: &Process, stream: Stream) -> RawFd {
    match stream {
        Stream::Stdout => process.stdout.as_raw_fd(),
        Stream::Stderr => process.stderr.as_raw_fd(),
    }
}

/// Throw away what waits in a non-blocking socket, at most 4 MiB: a cell must not be able to keep the host busy.
fn discard_waiting(socket: &mut UnixStream) {
    let mut buffer = [0; 1 << 12];
    for _ in 0..1024 {
        match socket.read(&mut buffer) {
            Ok(count) if count > 0 => {}
            _ => break,
        }
    }
}

fn draw_nonce() -> std::io::Result<Nonce> {
    let mut nonce = [0; NONCE_BYTES];
    // SAFETY: the buffer is live and its length is right; so few bytes are never returned in part.
    let count = unsafe { libc::getrandom(nonce.as_mut_ptr().cast(), NONCE_BYTES, 0) };
    if usize::try_from(count) == Ok(NONCE_BYTES) {
        Ok(nonce)
    } else {
        Err(std::io::Error::last_os_error())
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
    let given = workspace
        .map(|path| path.canonicalize().map_err(failed(path)))
        .transpose()?;
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
    Ok(Place {
        interpreter,
        workspace: given.unwrap_or(work),
        home,
        identity,
        identity_reason,
    })
}
