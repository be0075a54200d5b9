//! Memory that requests take while they are read, bounded for all of them together: a body of a few megabytes becomes a
//! hundred, and many may come at once.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::ApiError;
use crate::error::ErrorKind;

/// What is taken at once is counted in pieces of so many bytes.
const PIECE_BYTES: usize = 1 << 10;

/// All there is.
#[derive(Debug)]
pub(crate) struct Memory {
    left: Arc<Semaphore>,
    bytes_max: usize,
}

/// A share of it, given back when dropped.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    permit: Option<OwnedSemaphorePermit>,
}

impl Memory {
    pub fn new(bytes_max: usize) -> Memory {
        Memory { left: Arc::new(Semaphore::new(bytes_max / PIECE_BYTES)), bytes_max }
    }

    /// So many bytes, at once or not at all: whoever waits holds memory too.
    ///
    /// # Errors
    /// When others hold too much of it (429), or there is not as much at all (413).
    pub fn take(&self, bytes: usize) -> Result<Taken, ApiError> {
        let pieces = bytes.div_ceil(PIECE_BYTES);
        if pieces > self.bytes_max / PIECE_BYTES {
            let mebibytes = |bytes: usize| bytes.div_ceil(1 << 20);
            let (needed, most) = (mebibytes(bytes), mebibytes(self.bytes_max));
            let message = format!("reading this request takes {needed} MiB; there are {most} MiB for all requests");
            return Err(ApiError::new(ErrorKind::BodyTooLarge, message));
        }
        let pieces = u32::try_from(pieces).map_err(|_| ApiError::internal("more memory than can be counted"))?;
        match Arc::clone(&self.left).try_acquire_many_owned(pieces) {
            Ok(permit) => Ok(Taken { permit: Some(permit) }),
            Err(_) => Err(ApiError::busy("other requests that are being read take all memory\nhint: try again later")),
        }
    }
}

impl Taken {
    /// Both in one.
    pub fn and(mut self, other: Taken) -> Taken {
        match (&mut self.permit, other.permit) {
            (Some(permit), Some(other)) => permit.merge(other),
            (none, other) => *none = none.take().or(other),
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_comes_back_and_more_than_there_is_cannot_be_had() {
        let memory = Memory::new(10 << 10);
        let status = |bytes: usize| memory.take(bytes).err().map(|error| error.body()["error"]["code"].clone());
        assert_eq!(status((10 << 10) + 1), Some("body_too_large".into()));
        let both = memory.take(4 << 10).unwrap().and(memory.take(5 << 10).unwrap());
        assert_eq!(status(2 << 10), Some("rate_limit_exceeded".into()));
        assert_eq!(status(1), None);
        drop(both);
        assert_eq!(status(10 << 10), None);
    }
}
