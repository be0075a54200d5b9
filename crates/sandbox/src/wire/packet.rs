//! One message with file descriptors on a SOCK_SEQPACKET or SOCK_STREAM socket.

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Largest message: Python's sources go to the zygote in one.
pub(crate) const PACKET_BYTES_MAX: usize = 192 << 10;
const FDS_MAX: usize = 16;

/// What one `recvmsg` brought.
#[derive(Debug, Default)]
pub(crate) struct Received {
    pub bytes: usize,
    pub fds: Vec<OwnedFd>,
    /// The sender as the kernel names it, in the PID namespace of this process (where the socket asks for it).
    pub sender: Option<i32>,
}

/// Send `bytes` with `fds`; returns how many bytes went out.
///
/// # Errors
/// When the peer is gone, or a packet is too large for the socket.
pub(crate) fn send(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> rustix::io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(rustix::io::Errno::TOOMANYREFS);
    }
    rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)
}

/// Receive into `buffer`; 0 bytes mean that the peer is gone.
///
/// # Errors
/// As `recvmsg`; descriptors beyond the expected number are closed by the kernel.
pub(crate) fn receive(socket: impl AsFd, buffer: &mut [u8]) -> rustix::io::Result<Received> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX), ScmCredentials(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    let message = rustix::net::recvmsg(socket, &mut [IoSliceMut::new(buffer)], &mut control, flags)?;
    let mut received = Received { bytes: message.bytes, ..Received::default() };
    for part in control.drain() {
        match part {
            RecvAncillaryMessage::ScmRights(fds) => received.fds.extend(fds),
            RecvAncillaryMessage::ScmCredentials(sender) => {
                received.sender = Some(sender.pid.as_raw_nonzero().get());
            }
            _ => {}
        }
    }
    Ok(received)
}

/// Receive one packet whole.
///
/// # Errors
/// As `recvmsg`; the end of the peer is `ConnectionAborted`.
pub(crate) fn receive_packet(socket: impl AsFd) -> std::io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut buffer = vec![0; PACKET_BYTES_MAX];
    let received = rustix::io::retry_on_intr(|| receive(&socket, &mut buffer))?;
    if received.bytes == 0 {
        return Err(std::io::ErrorKind::ConnectionAborted.into());
    }
    buffer.truncate(received.bytes);
    Ok((buffer, received.fds))
}
