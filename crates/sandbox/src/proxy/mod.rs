//! The network of a session with an allow-list: an HTTP proxy on the host, the only way out of the session.
//!
//! The session's network namespace has nothing but loopback. A socket that listens there is handed to the host, which
//! serves it here: `CONNECT host:port` for tunnels (https), `GET http://host/path` for plain HTTP. Names are resolved
//! on the host, and the connection goes to the very address that was checked.
//!
//! A tunnel is not looked into: whoever may talk to a host may send it anything, and a server that answers for several
//! names on one address can be asked for another of them. What is allowed to be reached is allowed to be told things.

mod allow; // read first: what may be reached

mod address; // which addresses a name must not lead to

mod head; // heads of requests and responses

mod waiting; // deadlines, and the end of everything

mod connection; // one client from its request to its end

mod relay; // bytes both ways

#[cfg(test)]
mod tests;

pub use allow::{AllowList, AllowListError};

use rustix::event::{PollFd, PollFlags};
use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use waiting::{Wake, wait};

/// How long to wait after the system refused a connection or a thread.
const RETRY: Duration = Duration::from_millis(100);
/// The accepting thread looks up this often even if nothing happens.
const ACCEPT_WAIT: Duration = Duration::from_secs(3600);

/// Bounds on what goes through a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyLimits {
    /// Connections at once; more wait until one ends.
    pub connections_max: usize,
    /// Bytes of the head of a request or a response.
    pub head_bytes_max: usize,
    /// Milliseconds until the head of a request must be there.
    pub head_ms_max: u64,
    /// Milliseconds to resolve a name and connect.
    pub connect_ms_max: u64,
    /// Milliseconds in which no byte moves, until a connection is closed.
    pub idle_ms_max: u64,
    /// Bytes of all connections in both directions, heads included, for the whole session.
    pub bytes_max: u64,
    /// Decisions that are kept, the newest ones.
    pub decisions_max: usize,
}

impl Default for ProxyLimits {
    fn default() -> Self {
        ProxyLimits {
            connections_max: 64,
            head_bytes_max: 16 << 10,
            head_ms_max: 10_000,
            connect_ms_max: 10_000,
            idle_ms_max: 120_000,
            bytes_max: 1 << 30,
            decisions_max: 1000,
        }
    }
}

impl ProxyLimits {
    fn idle(&self) -> Duration {
        Duration::from_millis(self.idle_ms_max)
    }
}

/// What the proxy decided about one request, for the user to read.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Decision {
    /// When, in milliseconds since 1970.
    pub milliseconds: u64,
    /// The method of the request; empty when it was malformed.
    pub method: String,
    /// The host that was asked for; empty when the request was malformed.
    pub host: String,
    /// The port that was asked for; 0 when the request was malformed.
    pub port: u16,
    /// What came of it.
    pub verdict: Verdict,
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Passed on to this address.
    Allowed(SocketAddr),
    /// Against the allow-list or a bound, for this reason.
    Refused(String),
    /// Allowed or not understood, and it came to nothing, for this reason.
    Failed(String),
}

impl Decision {
    fn on(request: &head::Request, verdict: Verdict) -> Decision {
        let (method, host) = (request.method.clone(), request.host.to_string());
        Decision { milliseconds: now_ms(), method, host, port: request.port, verdict }
    }

    fn malformed(reason: &str) -> Decision {
        let verdict = Verdict::Failed(reason.to_string());
        Decision { milliseconds: now_ms(), method: String::new(), host: String::new(), port: 0, verdict }
    }
}

/// Bytes that went through a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Traffic {
    /// From the session.
    pub sent_bytes: u64,
    /// To the session.
    pub received_bytes: u64,
}

/// A running proxy. It stops, with all its connections, when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    /// Dropping it wakes every wait.
    stop: Option<UnixStream>,
    accepting: Option<JoinHandle<()>>,
}

type Resolve = dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// What all threads of a proxy see.
struct Shared {
    allow: AllowList,
    limits: ProxyLimits,
    resolve: Box<Resolve>,
    traffic: Counters,
    decisions: Mutex<Decisions>,
    /// How many connections are open, and a signal for the next end of one.
    open_count: Mutex<usize>,
    one_closed: Condvar,
    lookups: Arc<Mutex<usize>>,
    stop: UnixStream,
    is_stopped: AtomicBool,
}

#[derive(Default)]
struct Decisions {
    kept: VecDeque<Decision>,
    dropped_count: u64,
}

/// Counted bytes against the bound on their sum.
struct Counters {
    sent: AtomicU64,
    received: AtomicU64,
    bytes_max: u64,
}

impl Counters {
    /// Count bytes from the session; gives whether all of them together are within the bound.
    fn sent(&self, count: usize) -> bool {
        self.sent.fetch_add(count as u64, Ordering::SeqCst);
        self.is_within()
    }

    /// Count bytes to the session, likewise.
    fn received(&self, count: usize) -> bool {
        self.received.fetch_add(count as u64, Ordering::SeqCst);
        self.is_within()
    }

    fn is_within(&self) -> bool {
        let sum = self.sent.load(Ordering::SeqCst).saturating_add(self.received.load(Ordering::SeqCst));
        sum <= self.bytes_max
    }
}

/// A lookup that is underway.
struct Turn(Arc<Mutex<usize>>);

impl Drop for Turn {
    fn drop(&mut self) {
        *lock(&self.0) -= 1;
    }
}

/// A connection that is open.
struct Slot(Arc<Shared>);

impl Drop for Slot {
    fn drop(&mut self) {
        *lock(&self.0.open_count) -= 1;
        self.0.one_closed.notify_all();
    }
}

impl Proxy {
    /// Serve `listener` until the proxy is dropped.
    ///
    /// # Errors
    /// When the system has no socket or no thread left.
    pub fn start(listener: TcpListener, allow: AllowList, limits: ProxyLimits) -> io::Result<Proxy> {
        let system =
            |name: &str, port: u16| -> io::Result<Vec<SocketAddr>> { Ok((name, port).to_socket_addrs()?.collect()) };
        Proxy::start_with(listener, allow, limits, Box::new(system))
    }

    fn start_with(
        listener: TcpListener,
        allow: AllowList,
        limits: ProxyLimits,
        resolve: Box<Resolve>,
    ) -> io::Result<Proxy> {
        // Whatever became of a client between poll and accept, the thread must not wait there.
        listener.set_nonblocking(true)?;
        let (stop, stop_there) = UnixStream::pair()?;
        let shared = Arc::new(Shared {
            allow,
            traffic: Counters { sent: AtomicU64::new(0), received: AtomicU64::new(0), bytes_max: limits.bytes_max },
            limits,
            resolve,
            decisions: Mutex::default(),
            open_count: Mutex::new(0),
            one_closed: Condvar::new(),
            lookups: Arc::default(),
            stop: stop_there,
            is_stopped: AtomicBool::new(false),
        });
        let shared_there = Arc::clone(&shared);
        let accepting =
            std::thread::Builder::new().name("proxy".into()).spawn(move || accept_all(&listener, &shared_there))?;
        Ok(Proxy { shared, stop: Some(stop), accepting: Some(accepting) })
    }

    /// What was decided, oldest first, and how many older decisions are no longer kept.
    pub fn decisions(&self) -> (Vec<Decision>, u64) {
        let decisions = lock(&self.shared.decisions);
        (decisions.kept.iter().cloned().collect(), decisions.dropped_count)
    }

    /// Bytes so far.
    pub fn traffic(&self) -> Traffic {
        let counters = &self.shared.traffic;
        Traffic {
            sent_bytes: counters.sent.load(Ordering::SeqCst),
            received_bytes: counters.received.load(Ordering::SeqCst),
        }
    }
}

impl Drop for Proxy {
    /// Close everything and wait for the threads. A lookup that the system is doing ends by itself a little later.
    fn drop(&mut self) {
        self.shared.is_stopped.store(true, Ordering::SeqCst);
        drop(self.stop.take());
        // Under the lock, so that it cannot fall between the look at the flag and the wait.
        drop(lock(&self.shared.open_count));
        self.shared.one_closed.notify_all();
        if let Some(accepting) = self.accepting.take() {
            // A thread that panicked has ended, too.
            let _ = accepting.join();
        }
    }
}

impl Shared {
    fn decide(&self, decision: Decision) {
        let mut decisions = lock(&self.decisions);
        decisions.kept.push_back(decision);
        while decisions.kept.len() > self.limits.decisions_max {
            decisions.kept.pop_front();
            decisions.dropped_count += 1;
        }
    }

    fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::SeqCst)
    }

    /// A turn to look up a name, unless as many lookups as connections are underway.
    fn begin_lookup(&self) -> Option<Turn> {
        let mut count = lock(&self.lookups);
        (*count < self.limits.connections_max).then(|| {
            *count += 1;
            Turn(Arc::clone(&self.lookups))
        })
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Shared")
            .field("allow", &self.allow)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Take clients until the proxy stops, then wait for the threads that serve them.
fn accept_all(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut serving: Vec<JoinHandle<()>> = Vec::new();
    while !shared.is_stopped() {
        serving.retain(|thread| !thread.is_finished());
        let Some(slot) = wait_for_slot(shared) else {
            break;
        };
        let mut sockets = vec![PollFd::new(listener, PollFlags::IN)];
        if wait(&mut sockets, &shared.stop, Instant::now() + ACCEPT_WAIT) != Wake::Ready {
            continue;
        }
        let started = listener.accept().and_then(|(client, _)| serve_on_thread(client, slot));
        match started {
            Ok(thread) => serving.push(thread),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // Too many open files or threads, or the client left: the next one may fare better.
            Err(_) => drop(wait(&mut Vec::new(), &shared.stop, Instant::now() + RETRY)),
        }
    }
    for thread in serving {
        let _ = thread.join();
    }
}

fn serve_on_thread(client: TcpStream, slot: Slot) -> io::Result<JoinHandle<()>> {
    let serve = move || connection::serve(&client, &slot.0);
    std::thread::Builder::new().name("proxy-client".into()).stack_size(512 << 10).spawn(serve)
}

/// Wait until one more connection may be open. `None`: the proxy stops.
fn wait_for_slot(shared: &Arc<Shared>) -> Option<Slot> {
    let mut count = lock(&shared.open_count);
    while *count >= shared.limits.connections_max && !shared.is_stopped() {
        count = shared.one_closed.wait(count).unwrap_or_else(|poisoned| poisoned.into_inner());
    }
    (!shared.is_stopped()).then(|| {
        *count += 1;
        Slot(Arc::clone(shared))
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Counters and lists: whatever a panicking thread left is valid.
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis().try_into().unwrap_or(u64::MAX))
}
