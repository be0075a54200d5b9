//! Ranks over TCP: everything goes through rank 0, which adds up in the order of the ranks. Each connection also tells
//! whether the other end is still there.

use std::io::ErrorKind;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use candle_core::Tensor;

use super::wire::{self, Kind};
use super::{
    Collective, Meeting, Patience, Place, RankError, RendezvousPoint, from_host, rendezvous, take_in, to_bytes, to_host,
};

/// Numbers that are sent at once.
const CHUNK: usize = 1 << 18;

/// Chunks that a rank is ahead of the sums that come back, so that both ways are busy.
const AHEAD: usize = 4;

/// Messages that wait for this rank; more than ever come.
const QUEUE: usize = 4 * AHEAD;

/// Bytes that a rank may [`Collective::gather`].
const GATHER_BYTES_MAX: usize = 1 << 20;

/// Between two looks for whether somebody is gone.
const LOOK: Duration = Duration::from_millis(20);

/// A rank's end of all its connections: of rank 0 to all others, of the others to rank 0.
#[derive(Debug)]
pub struct Tcp {
    place: Place,
    peers: Vec<Peer>,
    shared: Arc<Shared>,
}

/// Another rank.
#[derive(Debug)]
struct Peer {
    rank: usize,
    inbox: Mutex<Receiver<Vec<u8>>>,
}

#[derive(Debug)]
struct Shared {
    place: Place,
    /// By peer.
    writers: Vec<(usize, Mutex<TcpStream>)>,
    /// Who is gone, why, and since when it is known.
    lost: Mutex<Option<(RankError, Instant)>>,
    /// Whether this program knows and does something about it.
    is_noticed: AtomicBool,
    /// Whether it is in a call of a library that waits for the others without these connections.
    is_outside: AtomicBool,
    /// Whether this rank has done all, so that whatever comes is none of its business.
    is_leaving: AtomicBool,
}

/// The time that this rank is in a call of a library.
#[derive(Debug)]
#[must_use = "dropped, the call is over"]
pub struct Outside<'a>(&'a AtomicBool);

impl Drop for Outside<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tcp {
    /// Meets the other ranks.
    ///
    /// * `point`: where rank 0 listens already, if it does.
    /// * `on_stuck`: called on a thread of its own when a rank is gone and this program has not noticed for
    ///   [`Patience::notice`], or is in [`Tcp::outside`].
    ///
    /// # Errors
    /// When they do not come, or are of another run.
    pub fn meet(
        place: Place,
        meeting: &Meeting,
        point: Option<RendezvousPoint>,
        patience: Patience,
        on_stuck: fn(&RankError),
    ) -> Result<Tcp, RankError> {
        let streams = match place.is_first() {
            true => rendezvous::host(place, meeting, point, patience)?,
            false => vec![(0, rendezvous::visit(place, meeting, patience)?)],
        };
        let failed = |rank: usize, error: std::io::Error| RankError::Lost { rank, why: error.to_string() };
        let mut writers = Vec::new();
        for (rank, stream) in &streams {
            let writer = stream.try_clone().and_then(|writer| {
                writer.set_write_timeout(Some(patience.silence))?;
                writer.set_read_timeout(Some(patience.silence))?;
                Ok(writer)
            });
            writers.push((*rank, Mutex::new(writer.map_err(|error| failed(*rank, error))?)));
        }
        let [is_noticed, is_outside, is_leaving] = std::array::from_fn::<_, 3, _>(|_| AtomicBool::new(false));
        let shared = Arc::new(Shared { place, writers, lost: Mutex::new(None), is_noticed, is_outside, is_leaving });
        let mut peers = Vec::new();
        for (rank, stream) in streams {
            let (outbox, inbox) = sync_channel(QUEUE);
            let hearing = Arc::clone(&shared);
            let thread = std::thread::Builder::new().name(format!("rank {rank}"));
            thread.spawn(move || hearing.hear(rank, stream, &outbox)).map_err(|error| failed(rank, error))?;
            peers.push(Peer { rank, inbox: Mutex::new(inbox) });
        }
        let beating = Arc::downgrade(&shared);
        let beat = move || {
            while let Some(shared) = beating.upgrade().filter(|shared| !shared.is_leaving()) {
                shared.beat(patience, on_stuck);
                drop(shared);
                std::thread::sleep(patience.beat.min(patience.notice).min(patience.outside));
            }
        };
        let thread = std::thread::Builder::new().name("beat".to_owned());
        thread.spawn(beat).map_err(|error| failed(place.rank, error))?;
        Ok(Tcp { place, peers, shared })
    }

    /// Until what is returned is dropped, this rank is in a call of a library that waits for the others and may never end
    /// when one is gone. Then the program is ended [`Patience::outside`] after the news, whether or not somebody has looked
    /// at them. One call at a time.
    pub fn outside(&self) -> Outside<'_> {
        self.shared.is_outside.store(true, Ordering::Relaxed);
        Outside(&self.shared.is_outside)
    }

    fn send(&self, rank: usize, payload: &[u8]) -> Result<(), RankError> {
        self.check()?;
        match self.shared.write(rank, Kind::Data, payload) {
            Ok(()) => Ok(()),
            Err(error) => {
                self.shared.lose(rank, why(&error));
                self.check()
            }
        }
    }

    fn send_all(&self, payload: &[u8]) -> Result<(), RankError> {
        self.peers.iter().try_for_each(|peer| self.send(peer.rank, payload))
    }

    /// What came is taken before the news that its sender is gone.
    fn receive(&self, peer: &Peer) -> Result<Vec<u8>, RankError> {
        let inbox = locked(&peer.inbox);
        loop {
            match inbox.recv_timeout(LOOK) {
                Ok(payload) => return Ok(payload),
                Err(RecvTimeoutError::Timeout) => self.check()?,
                Err(RecvTimeoutError::Disconnected) => {
                    self.shared.lose(peer.rank, "it ended before the others".to_owned());
                    self.check()?;
                }
            }
        }
    }

    /// Rank 0 works on a chunk with those of the others, and all get the result. Only a chunk is on the host beside the
    /// vector. After an error a part of the vector may be the result already.
    fn through_first(&self, values: &Tensor, is_sum: bool) -> Result<(), RankError> {
        let chunk = |index: usize| {
            let (start, length) = chunk_at(index, values.elem_count());
            to_host(&values.narrow(0, start, length)?)
        };
        let count = values.elem_count().div_ceil(CHUNK);
        if self.place.is_first() {
            for index in 0..count {
                let mut host = chunk(index)?;
                for peer in self.peers.iter().filter(|_| is_sum) {
                    take_in(&mut host, peer.rank, &self.receive(peer)?, |sum, value| *sum += value)?;
                }
                self.send_all(&to_bytes(&host))?;
                if is_sum {
                    from_host(values, host, index * CHUNK)?;
                }
            }
            return Ok(());
        }
        let first = &self.peers[0];
        for index in 0..count + AHEAD {
            if is_sum && index < count {
                self.send(0, &to_bytes(&chunk(index)?))?;
            }
            if let Some(index) = index.checked_sub(AHEAD) {
                let (start, length) = chunk_at(index, values.elem_count());
                let mut host = vec![0.0; length];
                take_in(&mut host, 0, &self.receive(first)?, |value, theirs| *value = theirs)?;
                from_host(values, host, start)?;
            }
        }
        Ok(())
    }
}

/// Where a chunk of a vector of so many values begins, and its length.
fn chunk_at(index: usize, count: usize) -> (usize, usize) {
    let start = index * CHUNK;
    (start, CHUNK.min(count - start))
}

impl Collective for Tcp {
    fn place(&self) -> Place {
        self.place
    }

    fn sum(&self, values: &Tensor) -> Result<(), RankError> {
        self.through_first(values, true)
    }

    fn spread(&self, values: &Tensor) -> Result<(), RankError> {
        self.through_first(values, false)
    }

    fn gather(&self, mine: &[u8]) -> Result<Vec<Vec<u8>>, RankError> {
        if mine.len() > GATHER_BYTES_MAX {
            return Err(RankError::out_of_step(self.place.rank, mine.len(), GATHER_BYTES_MAX));
        }
        if !self.place.is_first() {
            self.send(0, mine)?;
            let bytes = self.receive(&self.peers[0])?;
            let no_list = || RankError::Nonsense { rank: 0, what: "no list of what all ranks gave".to_owned() };
            return taken_apart(&bytes).filter(|all| all.len() == self.place.count).ok_or_else(no_list);
        }
        let mut all = vec![mine.to_vec()];
        for peer in &self.peers {
            all.push(self.receive(peer)?);
        }
        let bytes = all.iter().flat_map(|one| [&(one.len() as u32).to_le_bytes(), &one[..]].concat());
        self.send_all(&bytes.collect::<Vec<u8>>())?;
        Ok(all)
    }

    fn check(&self) -> Result<(), RankError> {
        match &*locked(&self.shared.lost) {
            None => Ok(()),
            Some((error, _)) => {
                self.shared.is_noticed.store(true, Ordering::Relaxed);
                Err(error.clone())
            }
        }
    }

    fn leave(&self, failure: Option<&str>) {
        if self.shared.is_leaving.swap(true, Ordering::Relaxed) || locked(&self.shared.lost).is_some() {
            return;
        }
        let (kind, payload) = failure.map_or((Kind::Bye, ""), |why| (Kind::Failed, why));
        for (rank, _) in &self.shared.writers {
            // Whoever is gone already does not need to hear it.
            let _ = self.shared.write(*rank, kind, payload.as_bytes());
        }
    }

    fn means(&self) -> &'static str {
        "over TCP"
    }
}

impl Drop for Tcp {
    fn drop(&mut self) {
        self.shared.is_leaving.store(true, Ordering::Relaxed);
        for (_, writer) in &self.shared.writers {
            // It may be closed already.
            let _ = locked(writer).shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn is_leaving(&self) -> bool {
        self.is_leaving.load(Ordering::Relaxed)
    }

    fn write(&self, rank: usize, kind: Kind, payload: &[u8]) -> std::io::Result<()> {
        let writer = self.writers.iter().find(|(of, _)| *of == rank);
        let (_, writer) = writer.expect("there is a connection for each peer");
        wire::write(&mut *locked(writer), kind, payload)
    }

    /// Reads what a peer sends, until its end.
    fn hear(&self, rank: usize, mut stream: TcpStream, outbox: &SyncSender<Vec<u8>>) {
        loop {
            match wire::read(&mut stream) {
                Ok((Kind::Beat, _)) => {}
                Ok((Kind::Data, payload)) => {
                    if outbox.send(payload).is_err() {
                        return;
                    }
                }
                // Whoever still waits for something of it hears that the inbox is closed.
                Ok((Kind::Bye, _)) => return,
                Ok((Kind::Failed, why)) => return self.lose(rank, format!("it ended: {}", wire::reason(&why))),
                Ok((Kind::Gone, bytes)) if rank == 0 && bytes.len() >= 4 => {
                    let of = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
                    return self.lose(of, wire::reason(&bytes[4..]));
                }
                Ok((kind, _)) => return self.lose(rank, format!("it sent {kind:?} where that means nothing")),
                Err(error) => return self.lose(rank, why(&error)),
            }
        }
    }

    /// Remembers the first that is gone; rank 0 tells the others before anybody here can know it and end.
    fn lose(&self, rank: usize, why: String) {
        let mut lost = locked(&self.lost);
        if lost.is_some() || self.is_leaving() {
            return;
        }
        if self.place.is_first() {
            let news = [&(rank as u32).to_le_bytes(), why.as_bytes()].concat();
            for (other, _) in self.writers.iter().filter(|(other, _)| *other != rank) {
                // One that is gone too will be missed by its own connection.
                let _ = self.write(*other, Kind::Gone, &news);
            }
        }
        *lost = Some((RankError::Lost { rank, why }, Instant::now()));
    }

    /// Says that this rank is there, and ends a program that hangs.
    fn beat(&self, patience: Patience, on_stuck: fn(&RankError)) {
        for (_, writer) in &self.writers {
            // While something else is being sent there is no need to.
            if let Ok(mut writer) = writer.try_lock() {
                // The thread that reads notices the end.
                let _ = wire::write(&mut *writer, Kind::Beat, &[]);
            }
        }
        let lost = locked(&self.lost).clone();
        let Some((error, since)) = lost else { return };
        let is_stuck = match self.is_outside.load(Ordering::Relaxed) {
            true => since.elapsed() >= patience.outside,
            false => since.elapsed() >= patience.notice && !self.is_noticed.load(Ordering::Relaxed),
        };
        if is_stuck {
            on_stuck(&error);
        }
    }
}

/// What the end of a connection means.
fn why(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
            "its connection closed, so its process has ended".to_owned()
        }
        ErrorKind::WouldBlock | ErrorKind::TimedOut => "it gives no sign of life any more".to_owned(),
        _ => format!("its connection failed: {error}"),
    }
}

fn taken_apart(mut bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (one, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        all.push(one.to_vec());
        bytes = rest;
    }
    Some(all)
}
