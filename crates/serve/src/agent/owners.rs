//! Whose a session is, and how much one owner may have.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};

use crate::ApiError;

/// The key that a request came with, as a digest of its own; `None` where everyone who may come in is the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Caller(pub Option<Arc<str>>);

impl Caller {
    /// Keeps what is computed for one from telling another what was asked before.
    pub fn salt(&self) -> u128 {
        let Some(key) = &self.0 else { return 0 };
        u128::from_le_bytes(*Sha256::digest(key.as_bytes()).first_chunk().expect("a digest has 32 bytes"))
    }
}

/// Counts things of each owner.
pub(crate) struct PerOwner {
    counts: Mutex<HashMap<Caller, usize>>,
    most: usize,
    what: &'static str,
}

/// One of an owner's things; no longer counted when dropped.
pub(crate) struct Counted {
    all: Arc<PerOwner>,
    owner: Caller,
}

impl PerOwner {
    /// * `what`: what there may be at most `most` of, in words.
    pub fn new(most: usize, what: &'static str) -> Arc<PerOwner> {
        Arc::new(PerOwner { counts: Mutex::default(), most, what })
    }

    /// # Errors
    /// When the owner has as many as it may: 429.
    pub fn take(self: &Arc<Self>, owner: &Caller) -> Result<Counted, ApiError> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(owner.clone()).or_default();
        if *count >= self.most {
            let message = format!("there are {} {} already, which is the limit for one key", self.most, self.what);
            return Err(ApiError::busy(message));
        }
        *count += 1;
        Ok(Counted { all: Arc::clone(self), owner: owner.clone() })
    }

    /// One that was there before the limit was asked for.
    pub fn note(self: &Arc<Self>, owner: &Caller) -> Counted {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner).entry(owner.clone()).or_default() += 1;
        Counted { all: Arc::clone(self), owner: owner.clone() }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.all.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.owner) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_counted_apart() {
        let turns = PerOwner::new(1, "turns");
        let (one, other) = (Caller(Some("one".into())), Caller(None));
        let held = turns.take(&one).ok();
        assert!(turns.take(&one).is_err_and(|error| error.message().contains("1 turns")));
        assert!(turns.take(&other).is_ok());
        drop(held);
        assert!(turns.take(&one).is_ok());
        assert!(turns.counts.lock().unwrap().is_empty());
    }
}
