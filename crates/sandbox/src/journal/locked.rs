//! A file that one process at a time has open for writing.

use std::fs::{File, TryLockError};
use std::ops::Deref;

/// Locked until it is dropped; should this process end, the kernel lets go.
#[derive(Debug)]
pub struct Locked(File);

impl Locked {
    /// # Errors
    /// When it is locked already, or the file system cannot lock.
    pub fn new(file: File) -> Result<Locked, TryLockError> {
        file.try_lock()?;
        Ok(Locked(file))
    }
}

impl Deref for Locked {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // Closing alone leaves the lock to whatever process another thread starts just now: until it executes its
        // program, it has this file as well.
        let _ = self.0.unlock();
    }
}
