//! How ranks find each other: rank 0 listens, the others connect, and none begins before all are there.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use super::wire::{self, Greeting, Kind};
use super::{Place, RankError};

/// Between two looks at a port.
const LOOK: Duration = Duration::from_millis(10);

/// Between two tries to connect.
const RETRY: Duration = Duration::from_millis(100);

/// A connection must have greeted by then.
const GREETING_MAX: Duration = Duration::from_secs(10);

/// Connections that have not greeted, at once; more are closed, and real ranks among them come again.
const STRANGERS_MAX: usize = 256;

/// Where rank 0 listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meeting {
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// How long is waited for what.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For all ranks to come.
    pub rendezvous: Duration,
    /// For any sign of life of a rank, which gives one every `beat`.
    pub silence: Duration,
    /// Between two signs of life.
    pub beat: Duration,
    /// For this program to notice that a rank is gone, before it is ended.
    pub notice: Duration,
    /// The same while it is in [`Tcp::outside`](super::Tcp::outside), where nothing of its own keeps it busy.
    pub outside: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience {
            rendezvous: Duration::from_secs(300),
            silence: Duration::from_secs(60),
            beat: Duration::from_secs(2),
            // Longer than a pass on a slow machine, or an export.
            notice: Duration::from_secs(600),
            // A call that looks for itself ends within moments of the news; one that does not never does.
            outside: Duration::from_secs(30),
        }
    }
}

/// A port of rank 0.
pub struct RendezvousPoint {
    listener: TcpListener,
    /// Which rank has ended already, and how: it will not come.
    ended: Box<dyn Fn() -> Option<(usize, String)> + Send>,
}

impl std::fmt::Debug for RendezvousPoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RendezvousPoint").field(&self.listener).finish()
    }
}

impl RendezvousPoint {
    /// A free port that only this machine reaches.
    ///
    /// # Errors
    /// When there is none.
    pub fn local() -> Result<RendezvousPoint, RankError> {
        listen(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0))
    }

    /// Where it is.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn meeting(&self) -> Result<Meeting, RankError> {
        let address = self.listener.local_addr();
        let address = address.map_err(|error| RankError::Listen { address: String::new(), what: error.to_string() })?;
        Ok(Meeting { host: address.ip().to_string(), port: address.port() })
    }

    /// Gives up when a rank ends before it comes.
    ///
    /// * `ended`: which one did, and how.
    pub fn watching(self, ended: impl Fn() -> Option<(usize, String)> + Send + 'static) -> RendezvousPoint {
        RendezvousPoint { ended: Box::new(ended), ..self }
    }

    /// The port that `meeting` names. A host that is given as a number, or is `localhost`, listens there; for a name all
    /// addresses of the machine do, because a machine often finds itself under another one than the others find it.
    fn at(meeting: &Meeting) -> Result<RendezvousPoint, RankError> {
        let address = resolve(meeting)?[0];
        if meeting.host == "localhost" || meeting.host.parse::<IpAddr>().is_ok() {
            return listen(address);
        }
        let everywhere = match address.ip() {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        listen(SocketAddr::new(everywhere, address.port()))
    }
}

fn listen(address: SocketAddr) -> Result<RendezvousPoint, RankError> {
    let listener = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    let refused = |error: std::io::Error| RankError::Listen { address: address.to_string(), what: error.to_string() };
    listener.map(|listener| RendezvousPoint { listener, ended: Box::new(|| None) }).map_err(refused)
}

/// The addresses of rank 0, at least one.
fn resolve(meeting: &Meeting) -> Result<Vec<SocketAddr>, RankError> {
    let unknown = |what: String| RankError::Host {
        host: meeting.host.chars().take(300).collect(),
        what,
        hint: "set MASTER_ADDR to a name or address of the machine of rank 0 that this machine knows",
    };
    let found = (meeting.host.as_str(), meeting.port).to_socket_addrs().map_err(|error| unknown(error.to_string()))?;
    let found: Vec<SocketAddr> = found.collect();
    if found.is_empty() { Err(unknown("it has no address".to_owned())) } else { Ok(found) }
}

/// The connections of rank 0, by rank.
pub(super) fn host(
    place: Place,
    meeting: &Meeting,
    point: Option<RendezvousPoint>,
    patience: Patience,
) -> Result<Vec<(usize, TcpStream)>, RankError> {
    let point = point.map_or_else(|| RendezvousPoint::at(meeting), Ok)?;
    let (until, (greeted, guests)) = (Instant::now() + patience.rendezvous, channel());
    let door = Door { strangers: Arc::default(), greeted };
    let mut here: Vec<Option<TcpStream>> = (1..place.count).map(|_| None).collect();
    let absent = |here: &[Option<TcpStream>]| -> Vec<usize> {
        (1..place.count).filter(|rank| here[rank - 1].is_none()).collect()
    };
    while !absent(&here).is_empty() {
        if Instant::now() > until {
            let missing = absent(&here);
            let error = RankError::Absent { missing, count: place.count, waited: patience.rendezvous };
            return Err(turn_away(here, error));
        }
        if let Some((rank, why)) = (point.ended)() {
            return Err(turn_away(here, RankError::Lost { rank, why }));
        }
        let is_idle = !door.open(&point.listener);
        if let Err(what) = seat(&guests, place, &mut here) {
            return Err(turn_away(here, RankError::Refused { what }));
        }
        if is_idle {
            std::thread::sleep(LOOK);
        }
    }
    let mut guests = Vec::new();
    for (rank, stream) in (1..).zip(here.into_iter().flatten()) {
        let welcomed = wire::write(&mut &stream, Kind::Welcome, &[]);
        welcomed.map_err(|error| RankError::Lost { rank, why: error.to_string() })?;
        guests.push((rank, stream));
    }
    Ok(guests)
}

/// Tells those that are there why there will be no run.
fn turn_away(here: Vec<Option<TcpStream>>, error: RankError) -> RankError {
    for stream in here.into_iter().flatten() {
        // Whoever is gone already does not need to hear it.
        let _ = wire::write(&mut &stream, Kind::Failed, error.to_string().as_bytes());
    }
    error
}

/// Lets in whoever comes and greets.
struct Door {
    strangers: Arc<AtomicUsize>,
    greeted: Sender<(Greeting, TcpStream)>,
}

impl Door {
    /// Whether somebody came.
    fn open(&self, listener: &TcpListener) -> bool {
        let Ok((stream, _)) = listener.accept() else { return false };
        if self.strangers.load(Ordering::Relaxed) >= STRANGERS_MAX {
            return true;
        }
        self.strangers.fetch_add(1, Ordering::Relaxed);
        let (strangers, greeted) = (Arc::clone(&self.strangers), self.greeted.clone());
        let greet = move || {
            if let Ok(guest) = hear(stream) {
                // When nobody waits any more, all ranks are there.
                let _ = greeted.send(guest);
            }
            strangers.fetch_sub(1, Ordering::Relaxed);
        };
        if std::thread::Builder::new().name("greeting".to_owned()).spawn(greet).is_err() {
            self.strangers.fetch_sub(1, Ordering::Relaxed);
        }
        true
    }
}

/// Reads a greeting and answers it. Whoever says something else hears nothing.
fn hear(mut stream: TcpStream) -> std::io::Result<(Greeting, TcpStream)> {
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(GREETING_MAX))?;
    let greeting = Greeting::read(&mut stream, Instant::now() + GREETING_MAX)?;
    wire::write_answer(&mut stream)?;
    Ok((greeting, stream))
}

/// Gives those who greeted their places.
fn seat(guests: &Receiver<(Greeting, TcpStream)>, place: Place, here: &mut [Option<TcpStream>]) -> Result<(), String> {
    let first = Greeting::new(place);
    while let Ok((greeting, stream)) = guests.try_recv() {
        let rank = greeting.place.rank;
        let difference = first.difference(&greeting).or_else(|| {
            let is_taken = here[rank - 1].as_ref().is_some_and(is_open);
            is_taken.then(|| format!("two programs say that they are rank {rank}"))
        });
        if let Some(what) = difference {
            let _ = wire::write(&mut &stream, Kind::Failed, what.as_bytes());
            return Err(what);
        }
        here[rank - 1] = Some(stream);
    }
    Ok(())
}

/// Whether the other end is still there; nothing is to come before the welcome.
fn is_open(stream: &TcpStream) -> bool {
    let _ = stream.set_nonblocking(true);
    let peeked = stream.peek(&mut [0]);
    let _ = stream.set_nonblocking(false);
    peeked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

/// The connection to rank 0.
pub(super) fn visit(place: Place, meeting: &Meeting, patience: Patience) -> Result<TcpStream, RankError> {
    let until = Instant::now() + patience.rendezvous;
    let mut addresses = resolve(meeting)?;
    for turn in 0.. {
        if turn % addresses.len() == 0 {
            // A name may get another address while machines start.
            addresses = resolve(meeting).unwrap_or(addresses);
        }
        let what = match greet(place, addresses[turn % addresses.len()], until) {
            Ok(stream) => return wait(stream, patience),
            Err(error) => error,
        };
        if Instant::now() + RETRY > until {
            let address = format!("{}:{}", meeting.host, meeting.port);
            let (rank, waited, what) = (place.rank, patience.rendezvous, what.to_string());
            return Err(RankError::Unreached { rank, address, waited, what });
        }
        std::thread::sleep(RETRY);
    }
    unreachable!("the time ends before the numbers do")
}

fn greet(place: Place, address: SocketAddr, until: Instant) -> std::io::Result<TcpStream> {
    let left = until.saturating_duration_since(Instant::now()).max(RETRY).min(GREETING_MAX);
    let mut stream = TcpStream::connect_timeout(&address, left)?;
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(GREETING_MAX))?;
    std::io::Write::write_all(&mut stream, &Greeting::new(place).to_bytes())?;
    wire::read_answer(&mut stream, Instant::now() + GREETING_MAX)?;
    Ok(stream)
}

/// Rank 0 answered; waits until it says that all are there. It gives up before this does.
fn wait(mut stream: TcpStream, patience: Patience) -> Result<TcpStream, RankError> {
    let lost = |why: String| RankError::Lost { rank: 0, why };
    let set = stream.set_read_timeout(Some(patience.rendezvous + patience.silence));
    set.map_err(|error| lost(error.to_string()))?;
    match wire::read(&mut stream) {
        Ok((Kind::Welcome, _)) => Ok(stream),
        Ok((Kind::Failed, why)) => Err(RankError::Refused { what: first_line(&wire::reason(&why)) }),
        Ok((kind, _)) => Err(RankError::Nonsense { rank: 0, what: format!("{kind:?} instead of a welcome") }),
        Err(error) => Err(lost(format!("while the ranks came together: {error}"))),
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}
