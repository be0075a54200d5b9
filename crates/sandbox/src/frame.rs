//! The control channel: length-prefixed frames, each bound to one cell by a nonce.
//!
//! ```text
//! u32 length of the rest | 16 byte nonce | tag | payload          little endian, at most 16 MiB
//! request  tag C: code of a cell;  H: hello, asks for the version of Python
//! answer   tag F: finished;  R: raised.   payload: u32 length of value (or NONE) | value | error
//! ```
//! The peer is untrusted: decoding any bytes ends in a frame, in "not yet", or in [`Corrupt`], never in a panic.

/// Largest frame in bytes, without its length prefix.
pub(crate) const FRAME_BYTES_MAX: usize = 16 << 20;
/// Length of a nonce in bytes.
pub(crate) const NONCE_BYTES: usize = 16;
const NONE_LENGTH: u32 = u32::MAX;

/// Drawn by the host for each request, and repeated by the runner in its answer.
pub(crate) type Nonce = [u8; NONCE_BYTES];

/// What the host asks of the runner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request<'a> {
    /// Say which Python this is.
    Hello,
    /// Run this code.
    Cell(&'a str),
}

/// What the runner says about one cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub nonce: Nonce,
    pub raised: bool,
    /// `repr` of the last expression.
    pub value: Option<String>,
    /// The traceback; empty when nothing was raised.
    pub error: String,
}

/// The bytes cannot be the start of a frame. Nothing after them can be trusted either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Corrupt;

/// Write `request` as one frame.
pub(crate) fn encode(nonce: &Nonce, request: Request<'_>) -> Vec<u8> {
    let (tag, payload) = match request {
        Request::Hello => (b'H', ""),
        Request::Cell(code) => (b'C', code),
    };
    let length = NONCE_BYTES + 1 + payload.len();
    let mut frame = Vec::with_capacity(4 + length);
    frame.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    frame.extend_from_slice(nonce);
    frame.push(tag);
    frame.extend_from_slice(payload.as_bytes());
    frame
}

/// Reassembles frames from whatever pieces the socket delivers.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    buffer: Vec<u8>,
}

impl Decoder {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Take the next whole frame, if one has arrived.
    pub(crate) fn next(&mut self) -> Result<Option<Answer>, Corrupt> {
        let Some((prefix, rest)) = self.buffer.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*prefix) as usize;
        if length > FRAME_BYTES_MAX {
            return Err(Corrupt);
        }
        if rest.len() < length {
            return Ok(None);
        }
        let answer = parse(&rest[..length]);
        self.buffer.drain(..4 + length);
        answer.map(Some)
    }
}

fn parse(body: &[u8]) -> Result<Answer, Corrupt> {
    let (nonce, rest) = body.split_first_chunk::<NONCE_BYTES>().ok_or(Corrupt)?;
    let (tag, rest) = rest.split_first().ok_or(Corrupt)?;
    let raised = match tag {
        b'F' => false,
        b'R' => true,
        _ => return Err(Corrupt),
    };
    let (length, rest) = rest.split_first_chunk::<4>().ok_or(Corrupt)?;
    let length = u32::from_le_bytes(*length);
    let (value, error) = if length == NONE_LENGTH {
        (None, rest)
    } else {
        let (value, error) = rest.split_at_checked(length as usize).ok_or(Corrupt)?;
        (Some(String::from_utf8_lossy(value).into_owned()), error)
    };
    Ok(Answer { nonce: *nonce, raised, value, error: String::from_utf8_lossy(error).into_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer_frame(nonce: u8, tag: u8, value: Option<&str>, error: &str) -> Vec<u8> {
        let mut body = vec![nonce; NONCE_BYTES];
        body.push(tag);
        body.extend_from_slice(&value.map_or(NONE_LENGTH, |text| text.len() as u32).to_le_bytes());
        body.extend_from_slice(value.unwrap_or("").as_bytes());
        body.extend_from_slice(error.as_bytes());
        [(body.len() as u32).to_le_bytes().as_slice(), &body].concat()
    }

    /// xorshift64*: enough to reach every branch, and the same bytes on each run.
    fn random(state: &mut u64) -> u64 {
        *state ^= *state >> 12;
        *state ^= *state << 25;
        *state ^= *state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    #[test]
    fn frames_survive_any_split() {
        let bytes = [answer_frame(7, b'F', Some("42"), ""), answer_frame(8, b'R', None, "Oops: é")].concat();
        for step in 1..bytes.len() {
            let mut decoder = Decoder::default();
            let mut answers = Vec::new();
            for piece in bytes.chunks(step) {
                decoder.push(piece);
                while let Some(answer) = decoder.next().unwrap() {
                    answers.push(answer);
                }
            }
            assert_eq!(answers.len(), 2, "pieces of {step} bytes");
            assert_eq!(answers[0].value.as_deref(), Some("42"));
            assert_eq!((answers[1].raised, answers[1].error.as_str()), (true, "Oops: é"));
        }
    }

    #[test]
    fn random_bytes_never_panic() {
        let mut state = 0x9e37_79b9_7f4a_7c15;
        let (mut corrupt_count, mut frame_count) = (0, 0);
        for _ in 0..20_000 {
            let mut bytes = answer_frame(1, b'F', Some("value"), "error");
            for _ in 0..1 + random(&mut state) % 4 {
                let index = random(&mut state) as usize % bytes.len();
                bytes[index] = random(&mut state) as u8;
            }
            bytes.truncate(random(&mut state) as usize % (bytes.len() + 1));
            let mut decoder = Decoder::default();
            decoder.push(&bytes);
            loop {
                match decoder.next() {
                    Ok(Some(_)) => frame_count += 1,
                    Ok(None) => break,
                    Err(Corrupt) => {
                        corrupt_count += 1;
                        break;
                    }
                }
            }
        }
        assert!(corrupt_count > 1000 && frame_count > 100, "{corrupt_count} corrupt, {frame_count} frames");
    }

    #[test]
    fn a_length_above_the_cap_is_corrupt_at_once() {
        let mut decoder = Decoder::default();
        decoder.push(&(FRAME_BYTES_MAX as u32 + 1).to_le_bytes());
        assert_eq!(decoder.next(), Err(Corrupt));
    }

    #[test]
    fn a_value_longer_than_its_frame_is_corrupt() {
        let mut bytes = answer_frame(1, b'F', Some("abc"), "");
        bytes[4 + NONCE_BYTES + 1] = 200;
        let mut decoder = Decoder::default();
        decoder.push(&bytes);
        assert_eq!(decoder.next(), Err(Corrupt));
    }
}
