//! Frames on a stream socket: `u32 length of the body | 16 byte nonce | tag | payload`, little endian.
//!
//! A nonce is drawn for each request and repeated in what answers it, so that an answer to nothing is recognised.

use super::Corrupt;

/// Largest body in bytes.
pub(crate) const FRAME_BYTES_MAX: usize = 16 << 20;
/// Length of a nonce in bytes.
pub(crate) const NONCE_BYTES: usize = 16;
/// Nonce and tag.
pub(crate) const HEAD_BYTES: usize = NONCE_BYTES + 1;

pub(crate) type Nonce = [u8; NONCE_BYTES];

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub nonce: Nonce,
    pub tag: u8,
    pub payload: Vec<u8>,
}

/// A frame as bytes. The payload has to fit: callers check what comes from outside.
pub(crate) fn encode(nonce: &Nonce, tag: u8, payload: &[u8]) -> Vec<u8> {
    let length = HEAD_BYTES + payload.len();
    let mut bytes = Vec::with_capacity(4 + length);
    bytes.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend_from_slice(nonce);
    bytes.push(tag);
    bytes.extend_from_slice(payload);
    bytes
}

/// Reassembles frames from whatever pieces the socket delivers.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    buffer: Vec<u8>,
    read: usize,
}

impl Decoder {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        // What was taken is dropped here and not at each frame: many small frames would move the rest many times.
        self.buffer.drain(..self.read);
        self.read = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// Take the next whole frame, if one has arrived.
    ///
    /// # Errors
    /// When the bytes cannot be the start of a frame.
    pub(crate) fn next(&mut self) -> Result<Option<Frame>, Corrupt> {
        let waiting = &self.buffer[self.read..];
        let Some((prefix, rest)) = waiting.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*prefix) as usize;
        if !(HEAD_BYTES..=FRAME_BYTES_MAX).contains(&length) {
            return Err(Corrupt);
        }
        let Some(body) = rest.get(..length) else {
            return Ok(None);
        };
        let (nonce, rest) = body.split_first_chunk::<NONCE_BYTES>().ok_or(Corrupt)?;
        let (tag, payload) = rest.split_first().ok_or(Corrupt)?;
        let frame = Frame { nonce: *nonce, tag: *tag, payload: payload.to_vec() };
        self.read += 4 + length;
        Ok(Some(frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// xorshift64*: enough to reach every branch, and the same bytes on each run.
    fn random(state: &mut u64) -> u64 {
        *state ^= *state >> 12;
        *state ^= *state << 25;
        *state ^= *state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    #[test]
    fn frames_survive_any_split() {
        let bytes = [encode(&[7; 16], b'F', b"42"), encode(&[8; 16], b'R', b"")].concat();
        for step in 1..bytes.len() {
            let mut decoder = Decoder::default();
            let mut frames = Vec::new();
            for part in bytes.chunks(step) {
                decoder.push(part);
                while let Some(frame) = decoder.next().unwrap() {
                    frames.push(frame);
                }
            }
            assert_eq!(frames.len(), 2, "pieces of {step}");
            assert_eq!((frames[0].tag, &frames[0].payload[..]), (b'F', &b"42"[..]));
            assert_eq!((frames[1].nonce, frames[1].payload.len()), ([8; 16], 0));
        }
    }

    #[test]
    fn ten_million_bytes_of_anything_never_panic() {
        let mut state = 0x9e37_79b9_7f4a_7c15;
        let mut fed = 0;
        let (mut taken, mut refused) = (0, 0);
        while fed < 10 << 20 {
            let mut decoder = Decoder::default();
            // Random lengths are mostly of frames that never come whole; a fresh decoder meets more of the rest.
            for _ in 0..16 {
                let size = (random(&mut state) % 300) as usize;
                let mut bytes: Vec<u8> = (0..size).map(|_| random(&mut state) as u8).collect();
                // A plausible length now and then, so that bodies are parsed too.
                if bytes.len() > 4 && !random(&mut state).is_multiple_of(4) {
                    bytes[..4].copy_from_slice(&((17 + random(&mut state) % 100) as u32).to_le_bytes());
                }
                fed += bytes.len();
                decoder.push(&bytes);
                match decoder.next() {
                    Ok(Some(frame)) => {
                        let _ = super::super::fields::Fields::parse(&frame.payload);
                        taken += 1;
                    }
                    Ok(None) => {}
                    Err(Corrupt) => {
                        refused += 1;
                        break;
                    }
                }
            }
        }
        assert!(taken > 1000 && refused > 1000, "{taken} taken, {refused} refused");
    }
}
