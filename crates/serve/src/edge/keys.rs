//! API keys: several, from a file, compared in constant time.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::http::{HeaderMap, header};
use sha2::{Digest, Sha256};
use subtle::{ConditionallySelectable, ConstantTimeEq};

use crate::ApiError;
use crate::agent::Caller;
use crate::error::ErrorKind;

/// Shorter keys can be guessed.
const KEY_CHARS_MIN: usize = 16;

/// The keys of those who may come in. Only their digests are kept.
#[derive(Clone)]
pub struct ApiKeys {
    digests: Vec<[u8; 32]>,
    /// There is one, which is another with each start of the server.
    is_of_run: bool,
}

impl std::fmt::Debug for ApiKeys {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} keys", self.digests.len())
    }
}

/// Why a file of keys is not taken.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// It cannot be read.
    #[error("cannot read the keys in `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line is not a key. The line itself is not repeated: it may be most of one.
    #[error("`{path}` line {line}: a key has at least {KEY_CHARS_MIN} characters, all visible ASCII")]
    Key {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// With this file nobody could come in.
    #[error("`{path}` has no key\nhint: one key a line; lines that begin with # are left out")]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

impl ApiKeys {
    /// Reads a file with one key a line. Empty lines and lines that begin with `#` are left out.
    ///
    /// # Errors
    /// When the file cannot be read, has no key, or has one that is too short.
    pub fn read(path: &Path) -> Result<ApiKeys, KeysError> {
        let text = std::fs::read_to_string(path).map_err(|source| KeysError::Read { path: path.to_owned(), source })?;
        let mut digests = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let key = line.trim();
            if key.is_empty() || key.starts_with('#') {
                continue;
            }
            if key.len() < KEY_CHARS_MIN || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(KeysError::Key { path: path.to_owned(), line: index + 1 });
            }
            digests.push(digest(key));
        }
        if digests.is_empty() {
            return Err(KeysError::Empty { path: path.to_owned() });
        }
        Ok(ApiKeys { digests, is_of_run: false })
    }

    /// A key for this run, drawn anew: with it anybody may come in, and all who do are the same.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn for_this_run() -> Result<(ApiKeys, String), ApiError> {
        let key = crate::agent::fresh_id()?;
        Ok((ApiKeys { digests: vec![digest(&key)], is_of_run: true }, key))
    }

    /// Who came with the key of this number.
    pub(crate) fn caller(&self, number: usize) -> Caller {
        let digest = self.digests.get(number.wrapping_sub(1)).filter(|_| !self.is_of_run);
        // Of the digest another one, so that what is kept with a session says nothing about the key.
        let name = |digest: &[u8; 32]| -> Arc<str> {
            let owner: [u8; 32] = Sha256::digest([&b"owner "[..], digest].concat()).into();
            owner[..16].iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()
        };
        Caller(digest.map(name))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.digests.len()
    }

    /// Which key a request has, counted from 1 in the order of the file.
    ///
    /// # Errors
    /// When it has none, or another: 401.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<usize, ApiError> {
        let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let (scheme, key) = value.split_once(' ').unwrap_or_default();
        if !scheme.eq_ignore_ascii_case("bearer") {
            let message = "this server needs an API key: `Authorization: Bearer KEY`";
            return Err(ApiError::new(ErrorKind::Unauthorised, message));
        }
        // All digests are compared, and each to its end: how long this takes says nothing about the keys.
        let given = digest(key.trim());
        let mut found = 0u64;
        for (index, known) in self.digests.iter().enumerate() {
            let is_equal = known.ct_eq(&given);
            found = u64::conditional_select(&found, &(index as u64 + 1), is_equal);
        }
        match usize::try_from(found) {
            Ok(number) if number > 0 => Ok(number),
            _ => Err(ApiError::new(ErrorKind::Unauthorised, "this API key is not known")),
        }
    }
}

fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn keys(text: &str) -> Result<ApiKeys, KeysError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        ApiKeys::read(file.path())
    }

    #[test]
    fn a_key_of_the_file_comes_in_and_others_do_not() {
        let keys = keys("# of the team\nfirst-key-of-three\n\n  second-key-of-three \nthird-key-of-three\n").unwrap();
        let check = |value: &str| {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap())]);
            keys.check(&headers).ok()
        };
        assert_eq!(check("Bearer first-key-of-three"), Some(1));
        assert_eq!(check("bearer third-key-of-three"), Some(3));
        for wrong in ["Bearer first-key-of-thre", "Bearer ", "first-key-of-three", "Basic first-key-of-three", ""] {
            assert_eq!(check(wrong), None, "{wrong}");
        }
        assert!(keys.check(&HeaderMap::new()).is_err());
    }

    #[test]
    fn a_key_is_the_same_caller_wherever_it_stands_and_a_key_of_one_run_is_nobody() {
        let one = keys(
            "first-key-of-three
second-key-of-three
",
        )
        .unwrap();
        let other = keys(
            "second-key-of-three
",
        )
        .unwrap();
        assert_eq!(one.caller(2), other.caller(1));
        assert_ne!(one.caller(1), one.caller(2));
        assert!(one.caller(1).0.is_some());
        assert_eq!(ApiKeys::for_this_run().unwrap().0.caller(1), Caller(None));
    }

    #[test]
    fn a_file_that_lets_nobody_or_anybody_in_is_refused() {
        assert!(keys("# nothing\n").unwrap_err().to_string().contains("has no key"));
        let error = keys("a-key-that-is-long-enough\nshort\n").unwrap_err().to_string();
        assert!(error.contains("line 2") && !error.contains("short"), "{error}");
    }
}
