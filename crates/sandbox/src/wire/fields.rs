//! Pairs of a key and bytes: `u32 length | key | u32 length | value`, little endian, until the end of the payload.

use super::Corrupt;

/// Builds a payload.
#[derive(Debug, Default, Clone)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    /// Add one pair. Both sides stay far below 4 GiB: frames are capped at 16 MiB.
    pub(crate) fn put(mut self, key: &str, value: impl AsRef<[u8]>) -> Self {
        for bytes in [key.as_bytes(), value.as_ref()] {
            self.0.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
            self.0.extend_from_slice(bytes);
        }
        self
    }

    /// Add a number in decimal digits.
    pub(crate) fn number(self, key: &str, value: u64) -> Self {
        self.put(key, value.to_string())
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// A decoded payload, borrowing its bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fields<'a>(Vec<Pair<'a>>);

impl<'a> Fields<'a> {
    /// # Errors
    /// When a length points past the end, or a key is not UTF-8.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Fields<'a>, Corrupt> {
        let (fields, rest) = Fields::parse_start(bytes);
        if rest.is_empty() { Ok(fields) } else { Err(Corrupt) }
    }

    /// The pairs up to the first that makes no sense, and the bytes from there on.
    pub(crate) fn parse_start(mut bytes: &'a [u8]) -> (Fields<'a>, &'a [u8]) {
        let mut pairs = Vec::new();
        while let Ok((pair, rest)) = pair(bytes) {
            pairs.push(pair);
            bytes = rest;
        }
        (Fields(pairs), bytes)
    }

    /// The first value of `key`.
    pub(crate) fn bytes(&self, key: &str) -> Option<&'a [u8]> {
        self.0.iter().find(|(name, _)| *name == key).map(|(_, value)| *value)
    }

    /// The first value of `key` as text, with replacement characters where it is not UTF-8.
    pub(crate) fn text(&self, key: &str) -> Option<String> {
        self.bytes(key).map(|value| String::from_utf8_lossy(value).into_owned())
    }

    /// The first value of `key` as a number in decimal digits.
    pub(crate) fn number(&self, key: &str) -> Option<u64> {
        std::str::from_utf8(self.bytes(key)?).ok()?.parse().ok()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        self.0.iter().copied()
    }
}

type Pair<'a> = (&'a str, &'a [u8]);

/// The first pair, and the bytes behind it.
fn pair(bytes: &[u8]) -> Result<(Pair<'_>, &[u8]), Corrupt> {
    let (key, rest) = take(bytes)?;
    let (value, rest) = take(rest)?;
    Ok(((std::str::from_utf8(key).map_err(|_| Corrupt)?, value), rest))
}

fn take(bytes: &[u8]) -> Result<(&[u8], &[u8]), Corrupt> {
    let (length, rest) = bytes.split_first_chunk::<4>().ok_or(Corrupt)?;
    rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or(Corrupt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_read() {
        let bytes = Writer::default().put("a", b"\xff\x00").number("n", 17).put("a", "2").finish();
        let fields = Fields::parse(&bytes).unwrap();
        assert_eq!(fields.bytes("a"), Some(&b"\xff\x00"[..]));
        assert_eq!(fields.number("n"), Some(17));
        assert_eq!(fields.text("a").as_deref(), Some("\u{fffd}\0"));
        assert_eq!(fields.iter().count(), 3);
        for end in 1..bytes.len() {
            let cut = Fields::parse(&bytes[..end]);
            assert!(cut.is_err() || cut.unwrap().iter().count() < 3, "{end}");
        }
    }
}
