//! A server that is a program: its process group, what it may write, and its last words.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

/// What a program gets of the environment without being given it.
const PASSED_ON: [&str; 11] =
    ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TERM", "TMPDIR", "TZ", "XDG_RUNTIME_DIR"];
const LAST_WORDS_BYTES_MAX: usize = 2000;
/// How long it may take to end once its input is closed.
const PATIENCE: Duration = Duration::from_secs(1);
const GLANCE: Duration = Duration::from_millis(20);

/// A running program. Dropped, it is killed with all that it started and that did not leave its group.
pub(super) struct Program {
    // Never waited for, so that its id stays its own until it is dropped.
    child: Child,
    last_words: Arc<Mutex<Vec<u8>>>,
}

/// Reads no more than was allowed: a server that writes without end costs memory or time elsewhere.
pub(super) struct Bounded<R> {
    inner: R,
    allowance: Arc<Allowance>,
}

/// Bytes that a server may still write. Each request adds to it.
pub(super) struct Allowance {
    bytes: AtomicUsize,
    bytes_max: usize,
}

impl Allowance {
    pub fn new(bytes_max: usize) -> Allowance {
        Allowance { bytes: AtomicUsize::new(0), bytes_max }
    }

    pub fn grant(&self, bytes: usize) {
        let more = |now: usize| Some(now.saturating_add(bytes).min(self.bytes_max));
        let _ = self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }

    fn take(&self, bytes: usize) -> io::Result<()> {
        let less = |now: usize| now.checked_sub(bytes);
        let taken = self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        taken.map(drop).map_err(|_| io::Error::other("it writes more than it was asked for"))
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Bounded<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(context, buffer);
        if let Poll::Ready(Ok(())) = polled {
            self.allowance.take(buffer.filled().len() - before)?;
        }
        polled
    }
}

impl Program {
    /// Starts it. Must be called within a runtime.
    pub fn start(
        command: &str,
        args: &[String],
        env: &[(String, String)],
        dir: Option<&Path>,
        allowance: &Arc<Allowance>,
    ) -> io::Result<(Program, Bounded<ChildStdout>, ChildStdin)> {
        let mut builder = Command::new(command);
        builder.args(args).env_clear();
        builder.envs(PASSED_ON.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        builder.envs(env.iter().map(|(key, value)| (key, value)));
        if let Some(dir) = dir {
            builder.current_dir(dir);
        }
        builder.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A group of its own: Ctrl-C in the terminal is not meant for it.
        let mut child = builder.process_group(0).kill_on_drop(true).spawn()?;
        let missing = || io::Error::other("a pipe of the program is missing");
        let stdin = child.stdin.take().ok_or_else(missing)?;
        let stdout = child.stdout.take().ok_or_else(missing)?;
        let last_words = Arc::new(Mutex::new(Vec::new()));
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(listen(stderr, Arc::clone(&last_words)));
        }
        let output = Bounded { inner: stdout, allowance: Arc::clone(allowance) };
        Ok((Program { child, last_words }, output, stdin))
    }

    /// What it wrote to stderr last, for whoever started the host: it may hold what nobody else should see.
    pub fn last_words(&self) -> String {
        let bytes = self.last_words.lock().unwrap_or_else(PoisonError::into_inner);
        super::schema::readable(String::from_utf8_lossy(&bytes).trim(), LAST_WORDS_BYTES_MAX)
    }

    /// Waits for it to end by itself, but not long.
    pub async fn end(self) {
        let Some(pid) = self.pid() else { return };
        let has_ended = async || {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
            while !matches!(waitid(WaitId::Pid(pid), options), Ok(Some(_)) | Err(_)) {
                tokio::time::sleep(GLANCE).await;
            }
        };
        let _ = tokio::time::timeout(PATIENCE, has_ended()).await;
    }

    fn pid(&self) -> Option<Pid> {
        self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Some(pid) = self.pid() {
            // Gone already is as good.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

async fn listen(mut stderr: ChildStderr, last_words: Arc<Mutex<Vec<u8>>>) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stderr.read(&mut buffer).await {
        let mut words = last_words.lock().unwrap_or_else(PoisonError::into_inner);
        words.extend_from_slice(&buffer[..count]);
        let excess = words.len().saturating_sub(LAST_WORDS_BYTES_MAX);
        words.drain(..excess);
    }
}
