//! One request and its answer: wait on the pipes, the control socket, the clock and the host's wish to stop.

use crate::capture::Capture;
use crate::frame::{self, Answer, Corrupt, Decoder, NONCE_BYTES, Nonce, Request};
use crate::process::Process;
use crate::session::Interrupter;
use crate::{CellEnd, Limits, SandboxError, Stream};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Time an interrupted cell has to come to its end before it is killed.
const GRACE: Duration = Duration::from_secs(2);
/// Time an interpreter that closed the control socket has to exit by itself.
const EXIT_GRACE: Duration = Duration::from_millis(500);
/// An exit that no file descriptor tells of (a forked child holds the socket open) is noticed after this time.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// How the exchange about one cell ended.
pub(crate) enum Outcome {
    Answered(Answer),
    Exited,
    /// The interpreter lives but cannot be talked to any more.
    Unusable(&'static str),
    /// Out of time, and deaf to SIGINT.
    Stuck,
}

/// What one cell has said so far, and what stopped it.
pub(crate) struct Exchange {
    nonce: Nonce,
    request: Vec<u8>,
    sent_bytes: usize,
    decoder: Decoder,
    pub stdout: Capture,
    pub stderr: Capture,
    deadline: Instant,
    /// Set once SIGINT was sent.
    pub stopped: Option<CellEnd>,
}

pub(crate) type OnOutput<'a> = dyn FnMut(Stream, &str) + 'a;

impl Exchange {
    pub(crate) fn new(request: Request<'_>, time: Duration, limits: &Limits) -> Result<Exchange, SandboxError> {
        let nonce = draw_nonce().map_err(SandboxError::system("drawing a random number"))?;
        Ok(Exchange {
            nonce,
            request: frame::encode(&nonce, request),
            sent_bytes: 0,
            decoder: Decoder::default(),
            stdout: Capture::new(limits.output_bytes_max),
            stderr: Capture::new(limits.output_bytes_max),
            deadline: Instant::now() + time,
            stopped: None,
        })
    }

    /// Run the exchange to its end.
    pub(crate) fn drive(
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
            if self.stopped.is_some() {
                process.interrupt_again();
            }
            if let Some((interrupter, wake)) = &mut interrupt {
                discard_waiting(wake);
                if self.stopped.is_none() && interrupter.is_wanted() {
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
        let can_send = if self.sent_bytes < self.request.len() { libc::POLLOUT } else { 0 };
        let control_fd = if control_is_open { process.control.as_raw_fd() } else { -1 };
        let entry = |fd, events| libc::pollfd { fd, events, revents: 0 };
        let mut entries = [
            entry(control_fd, libc::POLLIN | can_send),
            entry(wake_fd, libc::POLLIN),
            entry(process.stdout.as_raw_fd(), libc::POLLIN),
            entry(process.stderr.as_raw_fd(), libc::POLLIN),
        ];
        let time = self.deadline.saturating_duration_since(Instant::now()).min(LOOK_AGAIN);
        // SAFETY: the entries are live, and their number is right. All four cases of a return are handled by looking.
        unsafe { libc::poll(entries.as_mut_ptr(), entries.len() as libc::nfds_t, time.as_millis() as i32 + 1) };
    }

    fn read_output(&mut self, process: &Process, on_output: &mut OnOutput<'_>) {
        let mut buffer = [0; 1 << 16];
        for stream in [Stream::Stdout, Stream::Stderr] {
            self.read_once(process, stream, &mut buffer, on_output);
        }
    }

    /// Read what is in the pipes at this moment, and no more: a background process may never stop writing.
    pub(crate) fn drain(&mut self, process: &Process, on_output: &mut OnOutput<'_>) {
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
        let count = unsafe { libc::read(descriptor(process, stream), buffer.as_mut_ptr().cast(), buffer.len()) };
        let Ok(count) = usize::try_from(count) else {
            return 0;
        };
        let capture = if stream == Stream::Stdout { &mut self.stdout } else { &mut self.stderr };
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
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
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
pub(crate) fn discard_waiting(socket: &mut UnixStream) {
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
    if usize::try_from(count) == Ok(NONCE_BYTES) { Ok(nonce) } else { Err(std::io::Error::last_os_error()) }
}
