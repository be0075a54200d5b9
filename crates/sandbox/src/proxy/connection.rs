//! One client: read what it asks, decide, resolve, connect to the address that was checked, relay.

use super::address::{is_own, not_public};
use super::allow::Host;
use super::head::{self, Plain, Request};
use super::relay::{End, Flow, relay};
use super::waiting::{Wake, wait};
use super::{Decision, Shared, Verdict};
use rustix::event::{PollFd, PollFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 8;
/// Time for a refused client to take its answer.
const FAREWELL: Duration = Duration::from_secs(1);
/// How soon a lookup that goes on notices that the proxy stops.
const LOOKUP_SLICE: Duration = Duration::from_millis(20);

/// An answer that is not the server's.
struct Refusal {
    status: u16,
    /// One line; goes into the status line too, which is all that many clients show.
    reason: String,
}

impl Refusal {
    fn new(status: u16, reason: impl Into<String>) -> Refusal {
        Refusal { status, reason: reason.into() }
    }
}

/// Serve one client until its connection ends.
pub(super) fn serve(client: &TcpStream, shared: &Arc<Shared>) {
    if client.set_nonblocking(true).is_err() {
        return;
    }
    let (request, rest) = match read_request(client, shared) {
        Ok(Some(read)) => read,
        Ok(None) => return,
        Err(refusal) => {
            shared.decide(Decision::malformed(&refusal.reason));
            return refuse(client, shared, &refusal, false);
        }
    };
    let decide = |verdict| shared.decide(Decision::on(&request, verdict));
    let is_head = request.method == "HEAD";
    let (server, address) = match reach(&request, shared) {
        Ok(reached) => reached,
        Err(refusal) => {
            decide(match refusal.status {
                403 => Verdict::Refused(refusal.reason.clone()),
                _ => Verdict::Failed(refusal.reason.clone()),
            });
            return refuse(client, shared, &refusal, is_head);
        }
    };
    decide(Verdict::Allowed(address));
    // Small packets go out as they come: both ends have put together what belongs together.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (up, down) = match &request.plain {
        None => {
            let established = b"HTTP/1.1 200 Connection established\r\n\r\n".to_vec();
            (Flow::new(rest, None), Flow::new(established, None))
        }
        Some(plain) => (upward(plain, rest), Flow::response()),
    };
    match relay(shared, client, &server, up, down) {
        End::Closed | End::Stopped => {}
        End::NoResponse((reason, hint)) => {
            decide(Verdict::Failed(reason.to_string()));
            refuse(client, shared, &Refusal::new(502, format!("{}: {reason}; {hint}", request.host)), is_head);
        }
        End::Idle => decide(Verdict::Failed(format!("nothing moved for {} ms", shared.limits.idle_ms_max))),
        End::BytesUsed => decide(Verdict::Refused(bytes_used(shared))),
    }
}

/// The head for the server and the part of the body that is here already; what is behind the body is dropped.
fn upward(plain: &Plain, mut rest: Vec<u8>) -> Flow {
    let here = plain.body_bytes.map_or(rest.len(), |bytes| rest.len().min(bytes.try_into().unwrap_or(usize::MAX)));
    rest.truncate(here);
    let left = plain.body_bytes.map(|bytes| bytes - here as u64);
    Flow::new([plain.head.as_slice(), &rest].concat(), left)
}

/// Read a request and what came with it. `None`: the client left, or the proxy stops.
fn read_request(mut client: &TcpStream, shared: &Shared) -> Result<Option<(Request, Vec<u8>)>, Refusal> {
    let until = Instant::now() + Duration::from_millis(shared.limits.head_ms_max);
    let mut held = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        match wait(&mut vec![PollFd::new(client, PollFlags::IN)], &shared.stop, until) {
            Wake::Ready => {}
            Wake::Stopped => return Ok(None),
            Wake::TimedOut => {
                return Err(Refusal::new(408, format!("no whole request within {} ms", shared.limits.head_ms_max)));
            }
        }
        let count = match client.read(&mut chunk) {
            Ok(0) => return Ok(None),
            Ok(count) => count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => continue,
            Err(_) => return Ok(None),
        };
        if !shared.traffic.sent(count) {
            return Err(Refusal::new(403, bytes_used(shared)));
        }
        let seen = held.len();
        held.extend_from_slice(&chunk[..count]);
        let end = head::end(&held, seen);
        if end.unwrap_or(held.len()) > shared.limits.head_bytes_max {
            let bytes_max = shared.limits.head_bytes_max;
            return Err(Refusal::new(431, format!("the head is longer than {bytes_max} bytes")));
        }
        if let Some(end) = end {
            let rest = held.split_off(end);
            let request = head::request(&held);
            let request = request.map_err(|(reason, hint)| Refusal::new(400, format!("{reason}; {hint}")))?;
            return Ok(Some((request, rest)));
        }
    }
}

/// Decide whether the request may go out, and connect.
fn reach(request: &Request, shared: &Arc<Shared>) -> Result<(TcpStream, SocketAddr), Refusal> {
    let (host, port) = (&request.host, request.port);
    if !shared.allow.allows(host, port) {
        let entry = match (host, port) {
            (Host::Address(IpAddr::V6(address)), port) => format!("[{address}]:{port}"),
            (host, 80 | 443) => host.to_string(),
            (host, port) => format!("{host}:{port}"),
        };
        let reason = format!(
            "{host} port {port} is not on the allow-list of this sandbox; to allow it, add \"{entry}\" to the list"
        );
        return Err(Refusal::new(403, reason));
    }
    if !shared.traffic.sent(0) {
        return Err(Refusal::new(403, bytes_used(shared)));
    }
    let until = Instant::now() + Duration::from_millis(shared.limits.connect_ms_max);
    let found = match host {
        Host::Address(address) => vec![SocketAddr::new(*address, port)],
        Host::Name(name) => look_up(name, port, shared, until)?,
    };
    let addresses = checked(host, &found, shared)?;
    let mut failure = Refusal::new(502, format!("{host} has no address"));
    for address in addresses {
        match open(address, shared, until) {
            Ok(stream) => return Ok((stream, address)),
            Err(refusal) => failure = Refusal::new(refusal.status, format!("{host} at {address}: {}", refusal.reason)),
        }
    }
    Err(failure)
}

/// The addresses that may be connected to. A name on the list can be made to point anywhere.
fn checked(host: &Host, found: &[SocketAddr], shared: &Shared) -> Result<Vec<SocketAddr>, Refusal> {
    let mut refused = None;
    let mut good = Vec::new();
    for address in found {
        // Written as IPv4 where it is one, so that what is checked is what is connected to.
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        let what = match shared.allow.lists_address(address) {
            true => None,
            false => not_public(address.ip()).or_else(|| is_own(address).then_some("this machine")),
        };
        match what {
            None => good.push(address),
            Some(what) => refused = Some((address, what)),
        }
    }
    good.truncate(ADDRESSES_MAX);
    match refused {
        Some((address, what)) if good.is_empty() => Err(Refusal::new(
            403,
            format!("{host} leads to {}, which is {what}; to allow that, add \"{address}\" to the list", address.ip()),
        )),
        _ => Ok(good),
    }
}

/// Resolve a name on a thread of its own: the system's resolver cannot be interrupted.
fn look_up(name: &str, port: u16, shared: &Arc<Shared>, until: Instant) -> Result<Vec<SocketAddr>, Refusal> {
    let Some(turn) = shared.begin_lookup() else {
        return Err(Refusal::new(503, "too many names are being looked up; try again"));
    };
    let (sender, receiver) = sync_channel(1);
    let (shared_there, name_there) = (Arc::clone(shared), name.to_string());
    let spawned = std::thread::Builder::new().name("proxy-lookup".into()).spawn(move || {
        let found = (shared_there.resolve)(&name_there, port);
        drop(turn);
        // Nobody waits any more: then nobody needs it.
        let _ = sender.send(found);
    });
    if let Err(error) = spawned {
        return Err(Refusal::new(503, format!("looking up {name}: {error}")));
    }
    loop {
        match receiver.recv_timeout(LOOKUP_SLICE) {
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(error)) => return Err(Refusal::new(502, format!("looking up {name}: {}", one_line(&error)))),
            Err(RecvTimeoutError::Timeout) if shared.is_stopped() => {
                return Err(Refusal::new(503, "the session has ended"));
            }
            Err(RecvTimeoutError::Timeout) if Instant::now() < until => {}
            Err(_) => return Err(Refusal::new(504, format!("looking up {name} took too long"))),
        }
    }
}

/// Connect without blocking, so that the end of the session and the deadline are noticed.
fn open(address: SocketAddr, shared: &Shared, until: Instant) -> Result<TcpStream, Refusal> {
    let failed = |error: std::io::Error| Refusal::new(502, one_line(&error));
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, None).map_err(|error| failed(error.into()))?;
    match connect(&socket, &address) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => {}
        Err(error) => return Err(failed(error.into())),
    }
    match wait(&mut vec![PollFd::new(&socket, PollFlags::OUT)], &shared.stop, until) {
        Wake::Ready => {}
        Wake::TimedOut => return Err(Refusal::new(504, "no connection in time")),
        Wake::Stopped => return Err(Refusal::new(503, "the session has ended")),
    }
    match sockopt::socket_error(&socket) {
        Ok(Ok(())) => Ok(TcpStream::from(socket)),
        Ok(Err(error)) | Err(error) => Err(failed(error.into())),
    }
}

/// Answer with the refusal, then wait a moment for the client to take it: closing at once could destroy it underway.
fn refuse(mut client: &TcpStream, shared: &Shared, refusal: &Refusal, is_head: bool) {
    let Refusal { status, reason } = refusal;
    let body = format!("{reason}\n");
    let mut answer = format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
        Connection: close\r\n\r\n",
        body.len()
    );
    if !is_head {
        answer.push_str(&body);
    }
    // The socket's buffer is empty, so that one write takes it all.
    if client.write_all(answer.as_bytes()).is_err() || client.shutdown(Shutdown::Write).is_err() {
        return;
    }
    let until = Instant::now() + FAREWELL;
    let mut chunk = [0; 4096];
    while wait(&mut vec![PollFd::new(client, PollFlags::IN)], &shared.stop, until) == Wake::Ready {
        match client.read(&mut chunk) {
            Ok(0) => return,
            Err(error) if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return,
            _ if Instant::now() >= until => return,
            _ => {}
        }
    }
}

fn bytes_used(shared: &Shared) -> String {
    format!("this session has used its {} bytes of network", shared.limits.bytes_max)
}

fn one_line(error: &std::io::Error) -> String {
    error.to_string().replace(|letter: char| letter.is_control() || !letter.is_ascii(), " ")
}
