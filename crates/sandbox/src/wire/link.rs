//! One end of a stream socket that carries frames: never blocks, keeps what does not fit, notices the end of the peer.

use super::Corrupt;
use super::frame::{Decoder, Frame, Nonce, encode};
use super::packet;
use rustix::event::PollFlags;
use rustix::io::Errno;
use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

const READ_BYTES: usize = 64 << 10;

/// A frame on its way out.
#[derive(Debug)]
struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
    /// Goes with the first byte.
    fd: Option<OwnedFd>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Link {
    socket: OwnedFd,
    decoder: Decoder,
    outgoing: VecDeque<Outgoing>,
    waiting_bytes: usize,
    sender: Option<i32>,
    is_closed: bool,
}

impl Link {
    /// # Errors
    /// When the socket cannot be made non-blocking.
    pub(crate) fn new(socket: OwnedFd) -> std::io::Result<Link> {
        rustix::io::ioctl_fionbio(&socket, true)?;
        Ok(Link {
            socket,
            decoder: Decoder::default(),
            outgoing: VecDeque::new(),
            waiting_bytes: 0,
            sender: None,
            is_closed: false,
        })
    }

    /// Queue a frame, and send what can be sent.
    pub(crate) fn send(&mut self, nonce: &Nonce, tag: u8, payload: &[u8], fd: Option<OwnedFd>) {
        let bytes = encode(nonce, tag, payload);
        self.waiting_bytes += bytes.len();
        self.outgoing.push_back(Outgoing { bytes, sent: 0, fd });
        self.flush();
    }

    /// Send what the socket takes.
    pub(crate) fn flush(&mut self) {
        while let Some(front) = self.outgoing.front_mut() {
            let fds: Vec<BorrowedFd<'_>> = front.fd.iter().map(AsFd::as_fd).collect();
            match packet::send(&self.socket, &front.bytes[front.sent..], &fds) {
                Ok(count) => {
                    drop(fds);
                    front.fd = None;
                    front.sent += count;
                    self.waiting_bytes -= count;
                    if front.sent == front.bytes.len() {
                        self.outgoing.pop_front();
                    }
                }
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => {}
                Err(_) => {
                    self.is_closed = true;
                    self.outgoing.clear();
                    self.waiting_bytes = 0;
                }
            }
        }
    }

    /// Read what has arrived, up to one buffer, closing descriptors that came along: nobody here expects any; [`Link::next`] then gives the frames.
    pub(crate) fn fill(&mut self) {
        let mut buffer = [0; READ_BYTES];
        match packet::receive(&self.socket, &mut buffer) {
            Ok(received) => {
                self.is_closed |= received.bytes == 0;
                self.decoder.push(&buffer[..received.bytes]);
                self.sender = received.sender.or(self.sender);
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.is_closed = true,
        }
    }

    /// Take the next whole frame.
    ///
    /// # Errors
    /// When the peer does not keep to the protocol.
    pub(crate) fn next(&mut self) -> Result<Option<Frame>, Corrupt> {
        self.decoder.next()
    }

    /// The process that sent the last bytes, as the kernel says; needs SO_PASSCRED on the socket.
    pub(crate) fn sender(&self) -> Option<i32> {
        self.sender
    }

    /// Whether the peer is gone. Frames that arrived before can still be taken.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Bytes that wait for the peer to read.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// What to wait for on this socket.
    pub(crate) fn interest(&self, reads: bool) -> PollFlags {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, reads && !self.is_closed);
        flags.set(PollFlags::OUT, !self.outgoing.is_empty());
        flags
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
