//! What goes over a connection between two ranks: a greeting, then frames.

use std::io::{Error, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use codeact_chat::disguises_text;

use super::Place;

/// Begins each greeting: nothing else that may come to a port begins like this.
const MAGIC: [u8; 16] = *b"codeact ranks \r\n";

/// Of the greeting, the frames, and what goes through them. Raised with every change.
const PROTOCOL: u32 = 1;

/// Of this build; padded with zeros in a greeting.
const BUILD: &str = env!("CARGO_PKG_VERSION");
const BUILD_BYTES: usize = 32;

/// What a rank sends first.
const GREETING_BYTES: usize = MAGIC.len() + 3 * 4 + BUILD_BYTES;

/// Bytes of a frame at most.
const FRAME_BYTES_MAX: usize = 16 << 20;

/// Characters of a reason at most; more is cut off.
const REASON_CHARS_MAX: usize = 4096;

/// Kinds of frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The sender is there.
    Beat = 1,
    /// A part of what the ranks do together.
    Data = 2,
    /// All ranks are there; from rank 0.
    Welcome = 3,
    /// A rank is gone: its number in 4 bytes, and why; from rank 0.
    Gone = 4,
    /// The sender ends because of an error of its own: which.
    Failed = 5,
    /// The sender has done all.
    Bye = 6,
}

impl Kind {
    fn of(byte: u8) -> Option<Kind> {
        use Kind::{Beat, Bye, Data, Failed, Gone, Welcome};
        [Beat, Data, Welcome, Gone, Failed, Bye].into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// Writes a frame.
///
/// # Errors
/// What the system says, or that it is too long.
pub(super) fn write(stream: &mut impl Write, kind: Kind, payload: &[u8]) -> std::io::Result<()> {
    if payload.len() > FRAME_BYTES_MAX {
        let what = format!("{} bytes at once, at most {FRAME_BYTES_MAX} can be sent", payload.len());
        return Err(Error::new(ErrorKind::InvalidInput, what));
    }
    let mut head = [kind as u8; 5];
    head[1..].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    // One packet for what is small.
    if payload.len() < 1024 {
        return stream.write_all(&[&head, payload].concat());
    }
    stream.write_all(&head)?;
    stream.write_all(payload)
}

/// Reads a frame.
///
/// # Errors
/// What the system says; `InvalidData` for what is no frame.
pub(super) fn read(stream: &mut impl Read) -> std::io::Result<(Kind, Vec<u8>)> {
    let mut head = [0; 5];
    stream.read_exact(&mut head)?;
    let [kind, length @ ..] = head;
    let length = u32::from_le_bytes(length) as usize;
    let kind = Kind::of(kind).filter(|_| length <= FRAME_BYTES_MAX);
    let kind = kind.ok_or_else(|| Error::new(ErrorKind::InvalidData, "what came is no message of a rank"))?;
    let mut payload = Vec::new();
    // Memory grows with what comes, not with what is announced.
    stream.by_ref().take(length as u64).read_to_end(&mut payload)?;
    if payload.len() < length {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok((kind, payload))
}

/// A reason that came from another rank, fit for a terminal.
pub(super) fn reason(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(REASON_CHARS_MAX)]).into_owned();
    text.chars().map(|char| if char == '\t' || disguises_text(char) { ' ' } else { char }).collect()
}

/// What a rank says of itself at first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Greeting {
    pub place: Place,
    protocol: u32,
    build: String,
}

impl Greeting {
    pub fn new(place: Place) -> Greeting {
        Greeting { place, protocol: PROTOCOL, build: BUILD.to_owned() }
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let numbers = [self.protocol, self.place.rank as u32, self.place.count as u32];
        let mut bytes = MAGIC.to_vec();
        bytes.extend(numbers.into_iter().flat_map(u32::to_le_bytes));
        bytes.extend(self.build.bytes().take(BUILD_BYTES));
        bytes.resize(GREETING_BYTES, 0);
        bytes
    }

    /// `None` for what is none.
    fn of_bytes(bytes: &[u8; GREETING_BYTES]) -> Option<Greeting> {
        let rest = bytes.strip_prefix(&MAGIC)?;
        let number = |at: usize| u32::from_le_bytes([rest[at], rest[at + 1], rest[at + 2], rest[at + 3]]);
        let build = rest[12..].split(|byte| *byte == 0).next().unwrap_or_default();
        let place = Place { rank: number(4) as usize, count: number(8) as usize };
        Some(Greeting { place, protocol: number(0), build: reason(build) })
    }

    /// Reads one.
    ///
    /// * `until`: when it must be there.
    ///
    /// # Errors
    /// What the system says; `InvalidData` for what is none.
    pub fn read(stream: &mut TcpStream, until: Instant) -> std::io::Result<Greeting> {
        let mut bytes = [0; GREETING_BYTES];
        read_until(stream, &mut bytes, until)?;
        Greeting::of_bytes(&bytes).ok_or_else(|| Error::new(ErrorKind::InvalidData, "not the greeting of a rank"))
    }

    /// In what the other one is not of this run, as a sentence.
    pub fn difference(&self, other: &Greeting) -> Option<String> {
        let (here, there, rank) = (self.place, other.place, other.place.rank);
        if self.protocol != other.protocol || self.build != other.build {
            let say = |greeting: &Greeting| format!("{} (protocol {})", greeting.build, greeting.protocol);
            return Some(format!("rank {rank} is codeact-train {}, rank 0 is {}", say(other), say(self)));
        }
        if here.count != there.count {
            return Some(format!("rank {rank} was started as one of {}, rank 0 as one of {}", there.count, here.count));
        }
        (rank == 0 || rank >= here.count).then(|| format!("a second rank {rank} came, of {} ranks", here.count))
    }
}

/// The answer to a greeting: that a rank 0 is here.
pub(super) fn write_answer(stream: &mut impl Write) -> std::io::Result<()> {
    stream.write_all(&MAGIC)
}

/// Reads that.
///
/// # Errors
/// What the system says; `InvalidData` when somebody else answers.
pub(super) fn read_answer(stream: &mut TcpStream, until: Instant) -> std::io::Result<()> {
    let mut bytes = [0; MAGIC.len()];
    read_until(stream, &mut bytes, until)?;
    match bytes == MAGIC {
        true => Ok(()),
        false => Err(Error::new(ErrorKind::InvalidData, "what answers there is no rank 0")),
    }
}

/// Reads all of `bytes`, however slowly they come, but not beyond `until`.
fn read_until(stream: &mut TcpStream, bytes: &mut [u8], until: Instant) -> std::io::Result<()> {
    let mut at = 0;
    while at < bytes.len() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        match stream.read(&mut bytes[at..]) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => at += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_as_they_were_sent() {
        for length in [0, 1, 1023, 1024, 100_000] {
            let payload: Vec<u8> = (0..length).map(|index| index as u8).collect();
            let mut bytes = Vec::new();
            write(&mut bytes, Kind::Data, &payload).expect("memory");
            assert_eq!(read(&mut &bytes[..]).expect("a frame"), (Kind::Data, payload));
            let cut = &mut &bytes[..bytes.len() - 1];
            assert_eq!(read(cut).expect_err("cut off").kind(), ErrorKind::UnexpectedEof);
        }
        assert!(write(&mut Vec::new(), Kind::Data, &vec![0; FRAME_BYTES_MAX + 1]).is_err());
    }

    #[test]
    fn what_is_no_frame_is_refused_without_its_memory() {
        for head in [[0, 0, 0, 0, 0], [7, 0, 0, 0, 0], [2, 255, 255, 255, 255], [2, 1, 0, 0, 1]] {
            assert_eq!(read(&mut &head[..]).expect_err("nonsense").kind(), ErrorKind::InvalidData);
        }
    }

    #[test]
    fn a_greeting_says_what_differs() {
        let place = |rank, count| Place { rank, count };
        let first = Greeting::new(place(0, 3));
        let told = |greeting: &Greeting| {
            let bytes = greeting.to_bytes().try_into().expect("its length");
            first.difference(&Greeting::of_bytes(&bytes).expect("a greeting"))
        };
        assert_eq!(told(&Greeting::new(place(2, 3))), None);
        let count = told(&Greeting::new(place(1, 4))).expect("other count");
        assert_eq!(count, "rank 1 was started as one of 4, rank 0 as one of 3");
        assert!(told(&Greeting::new(place(0, 3))).is_some_and(|text| text.contains("a second rank 0")));
        assert!(told(&Greeting::new(place(3, 3))).is_some());
        let older = Greeting { build: "0.0.1".to_owned(), ..Greeting::new(place(1, 3)) };
        assert!(told(&older).is_some_and(|text| text.starts_with("rank 1 is codeact-train 0.0.1 (")));
        assert_eq!(Greeting::of_bytes(&[b'G'; GREETING_BYTES]), None);
    }

    #[test]
    fn a_reason_does_not_steer_the_terminal() {
        assert_eq!(reason(b"a\x1b[2Jb\r\nc\xff"), "a [2Jb \nc\u{fffd}");
        assert_eq!(reason("a\t\u{202e}b\u{61c}\u{200b}c".as_bytes()), "a  b  c");
        assert_eq!(reason(&[b'x'; 9999]).len(), REASON_CHARS_MAX);
    }
}
