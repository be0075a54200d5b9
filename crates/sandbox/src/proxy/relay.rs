//! Pass bytes both ways between a client and its server until both are done, one is gone, or a bound is reached.

use super::Shared;
use super::allow::Fault;
use super::head;
use super::waiting::{Wake, wait};
use rustix::event::{PollFd, PollFlags};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Instant;

/// Bytes on their way in one direction of one connection.
const BUFFER_BYTES: usize = 32 << 10;

/// One direction of a connection.
#[derive(Debug, Default)]
pub(super) struct Flow {
    buffer: Vec<u8>,
    /// Where the bytes begin that are still to be written.
    start: usize,
    /// How many more bytes may be read; `None` for no bound.
    left: Option<u64>,
    /// The head of a response, as far as it has come.
    head: Option<Vec<u8>>,
    /// The source has no more.
    is_read: bool,
    /// The target knows that there is no more.
    is_done: bool,
}

/// Why a relay came to its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Both sides, or one of them without notice.
    Closed,
    /// The server did not answer in HTTP; the client has heard nothing yet.
    NoResponse(Fault),
    Idle,
    BytesUsed,
    Stopped,
}

impl Flow {
    /// A direction in which `first` has been read already, and `left` more bytes may come.
    pub(super) fn new(first: Vec<u8>, left: Option<u64>) -> Flow {
        Flow { buffer: first, left, ..Flow::default() }
    }

    /// A direction that begins with the head of a response, which is rewritten.
    pub(super) fn response() -> Flow {
        Flow { head: Some(Vec::new()), ..Flow::default() }
    }

    fn has_bytes(&self) -> bool {
        self.start < self.buffer.len()
    }

    fn wants_bytes(&self) -> bool {
        !self.has_bytes() && !self.is_read && self.left != Some(0)
    }

    /// Read once from `source`; gives how many bytes came, `None` when there is nothing now.
    fn fill(&mut self, source: &TcpStream) -> std::io::Result<Option<usize>> {
        self.start = 0;
        self.buffer.resize(BUFFER_BYTES, 0);
        let bytes_max = self.left.map_or(BUFFER_BYTES, |left| BUFFER_BYTES.min(left.try_into().unwrap_or(usize::MAX)));
        let mut source = source;
        let count = source.read(&mut self.buffer[..bytes_max]);
        self.buffer.truncate(*count.as_ref().unwrap_or(&0));
        match count {
            Ok(count) => {
                self.is_read = count == 0;
                self.left = self.left.map(|left| left - count as u64);
                Ok(Some(count))
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Put what was read through the rewriting of the head, while there is one.
    fn rewrite(&mut self, head_bytes_max: usize) -> Result<(), Fault> {
        const TOO_LONG: Fault = ("the server sends too long a head", "ask another server");
        const CUT: Fault = ("the server closed without an answer", "try again");
        let Some(mut held) = self.head.take() else {
            return Ok(());
        };
        let mut seen = held.len();
        held.append(&mut self.buffer);
        while let Some(end) = head::end(&held, seen) {
            if end > head_bytes_max {
                return Err(TOO_LONG);
            }
            let (rewritten, is_interim) = head::response(&held[..end])?;
            self.buffer.extend_from_slice(&rewritten);
            held.drain(..end);
            seen = 0;
            if !is_interim {
                self.buffer.append(&mut held);
                return Ok(());
            }
        }
        match held.len() > head_bytes_max {
            true => Err(TOO_LONG),
            false if self.is_read => Err(CUT),
            false => {
                self.head = Some(held);
                Ok(())
            }
        }
    }

    /// Read and write no more; what is underway is dropped.
    fn abandon(&mut self) {
        *self = Flow { is_read: true, is_done: true, ..Flow::default() };
    }

    /// Write once to `target`, and tell it when there will be no more. Gives whether anything was written.
    fn drain(&mut self, target: &TcpStream) -> std::io::Result<bool> {
        let mut writer = target;
        let mut is_progress = false;
        if self.has_bytes() {
            match writer.write(&self.buffer[self.start..]) {
                Ok(count) => {
                    self.start += count;
                    is_progress = count > 0;
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(error) => return Err(error),
            }
        }
        if self.is_read && !self.has_bytes() && !self.is_done {
            self.is_done = true;
            target.shutdown(Shutdown::Write)?;
        }
        Ok(is_progress)
    }
}

/// Pass bytes until the end. `up` goes to the server, `down` to the client. A tunnel ends with both directions, a plain
/// exchange with the response.
pub(super) fn relay(shared: &Shared, client: &TcpStream, server: &TcpStream, mut up: Flow, mut down: Flow) -> End {
    let is_tunnel = down.head.is_none();
    let mut until = Instant::now() + shared.limits.idle();
    while !(down.is_done && (up.is_done || !is_tunnel)) {
        let mut sockets = Vec::with_capacity(3);
        let client_at = watch(&mut sockets, client, &up, &down);
        let server_at = watch(&mut sockets, server, &down, &up);
        match wait(&mut sockets, &shared.stop, until) {
            Wake::Ready => {}
            Wake::TimedOut => return End::Idle,
            Wake::Stopped => return End::Stopped,
        }
        let happened = |at: Option<usize>| at.map_or(PollFlags::empty(), |at| sockets[at].revents());
        let (at_client, at_server) = (happened(client_at), happened(server_at));
        match step(shared, [client, server], [at_client, at_server], [&mut up, &mut down]) {
            Ok(true) => until = Instant::now() + shared.limits.idle(),
            Ok(false) => {}
            Err(end) => return end,
        }
    }
    End::Closed
}

/// Put a socket among those to wait for, if there is a reason to. `from` reads from it, `to` writes to it.
fn watch<'a>(sockets: &mut Vec<PollFd<'a>>, socket: &'a TcpStream, from: &Flow, to: &Flow) -> Option<usize> {
    let mut events = PollFlags::empty();
    events.set(PollFlags::IN, from.wants_bytes());
    events.set(PollFlags::OUT, to.has_bytes());
    // Without a wish only its breakdown is reported; a socket closed both ways in order looks the same.
    if events.is_empty() && (from.is_read || to.is_done) {
        return None;
    }
    sockets.push(PollFd::new(socket, events));
    Some(sockets.len() - 1)
}

/// Do what the sockets are ready for; gives whether bytes moved.
fn step(
    shared: &Shared,
    [client, server]: [&TcpStream; 2],
    [at_client, at_server]: [PollFlags; 2],
    [up, down]: [&mut Flow; 2],
) -> Result<bool, End> {
    let gone = PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL;
    let closed = |_| End::Closed;
    let mut is_progress = false;
    if up.wants_bytes() && at_client.intersects(PollFlags::IN | gone) {
        let count = up.fill(client).map_err(closed)?.unwrap_or(0);
        is_progress |= count > 0;
        shared.traffic.sent(count).then_some(()).ok_or(End::BytesUsed)?;
    } else if at_client.intersects(gone) {
        return Err(End::Closed);
    }
    if down.wants_bytes() && at_server.intersects(PollFlags::IN | gone) {
        let count = down.fill(server).or_else(|error| match down.head.is_some() {
            // A reset before any answer is told as such.
            true => {
                down.is_read = true;
                Ok(Some(0))
            }
            false => Err(error),
        });
        let count = count.map_err(closed)?;
        is_progress |= count.is_some_and(|count| count > 0);
        shared.traffic.received(count.unwrap_or(0)).then_some(()).ok_or(End::BytesUsed)?;
        if count.is_some() {
            down.rewrite(shared.limits.head_bytes_max).map_err(End::NoResponse)?;
        }
    } else if at_server.intersects(gone) {
        up.abandon();
    }
    // A server may answer and close before it has read everything: what it said still goes to the client.
    match up.drain(server) {
        Ok(progress) => is_progress |= progress,
        Err(_) => up.abandon(),
    }
    is_progress |= down.drain(client).map_err(closed)?;
    Ok(is_progress)
}
