//! Waiting for sockets, with a deadline, and never longer than the proxy runs.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Why a wait came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wake {
    /// Something happened to one of the sockets.
    Ready,
    TimedOut,
    /// The proxy stops.
    Stopped,
}

/// Wait for the sockets, up to `until`; what happened is in their `revents`. `stop` becomes readable to end all waits.
pub(super) fn wait<'a>(sockets: &mut Vec<PollFd<'a>>, stop: &'a UnixStream, until: Instant) -> Wake {
    sockets.push(PollFd::new(stop, PollFlags::IN));
    let wake = loop {
        let left = until.saturating_duration_since(Instant::now());
        match poll(sockets, Some(&timespec(left))) {
            Ok(_) if sockets.last().is_some_and(|stop| !stop.revents().is_empty()) => break Wake::Stopped,
            Ok(0) if until <= Instant::now() => break Wake::TimedOut,
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => break Wake::Ready,
            // Out of memory: giving up one connection is the best that is left.
            Err(_) => break Wake::Stopped,
        }
    };
    sockets.pop();
    wake
}

fn timespec(left: Duration) -> Timespec {
    // Round up, so that a wait does not spin through its last millisecond.
    let left = left + Duration::from_millis(1);
    Timespec { tv_sec: left.as_secs().min(1 << 30).cast_signed(), tv_nsec: left.subsec_nanos().into() }
}
