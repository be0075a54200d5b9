//! The folder of a run in the hands of one program.

use std::fs::{self, File, TryLockError};
use std::path::Path;

use crate::error::TrainError;

/// A folder that no other run writes meanwhile: locked until this is dropped; should the process end, the kernel lets
/// go. On a file system that cannot lock nothing is, and the run goes on all the same.
#[derive(Debug, Default)]
pub struct Held(Option<File>);

impl Held {
    /// Takes hold of a folder, if it is there; [`Held::make`] does of one that is not there yet.
    ///
    /// # Errors
    /// When another run holds it.
    pub fn of(dir: &Path) -> Result<Held, TrainError> {
        // The folder itself is locked, so that no file of a lock lies in it. Whoever reads it tells what else is wrong.
        let Some(folder) = dir.is_dir().then(|| File::open(dir).ok()).flatten() else { return Ok(Held::default()) };
        match folder.try_lock() {
            Ok(()) => Ok(Held(Some(folder))),
            Err(TryLockError::WouldBlock) => Err(TrainError::FolderInUse { dir: dir.to_owned() }),
            Err(TryLockError::Error(_)) => Ok(Held::default()),
        }
    }

    /// Makes a folder where it is missing, and takes hold of it unless it is held already.
    ///
    /// # Errors
    /// When it cannot be made, or another run was faster.
    pub fn make(&mut self, dir: &Path) -> Result<(), TrainError> {
        fs::create_dir_all(dir).map_err(TrainError::write(dir))?;
        if self.0.is_none() {
            *self = Held::of(dir)?;
        }
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Closing alone leaves the lock to whatever process another thread starts just now: until it executes its
        // program, it has this folder open as well.
        if let Some(folder) = &self.0 {
            let _ = folder.unlock();
        }
    }
}
