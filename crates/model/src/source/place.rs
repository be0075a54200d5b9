//! Put a finished folder in its place, once, whoever else tries at the same time.
//!
//! The folder is built as `<name>.partial` beside its target under a lock, synced, and renamed. A process that dies
//! leaves a `.partial` that is never taken for a model, and a lock that the system lets go.
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use super::error::SourceError;

/// What to do with the half-built folder of an earlier attempt.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Leftover {
    /// Start from nothing, and leave nothing when building fails.
    Discard,
    /// Hand it to `build`, which continues it; keep it when building fails.
    Continue,
}

/// Returns `target` when it is complete, else lets `build` fill a `.partial` folder and renames it to `target`.
/// `missing` says what a folder lacks.
pub(super) fn place<E: From<SourceError>>(
    target: &Path,
    leftover: Leftover,
    missing: fn(&Path) -> Option<String>,
    progress: &dyn Fn(&str),
    build: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<PathBuf, E> {
    let parent = target.parent().expect("a target is always base_dir joined with a name");
    let name = target.file_name().expect("a target is always base_dir joined with a name").to_string_lossy();
    fs::create_dir_all(parent).map_err(SourceError::io("create", parent))?;
    let _lock = lock(&parent.join(format!(".{name}.lock")), progress)?;
    // Another process may have finished while this one waited.
    if let Some(folder) = finished(target, missing)? {
        return Ok(folder);
    }
    let partial = parent.join(format!("{name}.partial"));
    if leftover == Leftover::Discard && partial.exists() {
        fs::remove_dir_all(&partial).map_err(SourceError::io("remove", &partial))?;
    }
    fs::create_dir_all(&partial).map_err(SourceError::io("create", &partial))?;
    if let Err(error) = build(&partial) {
        // Best effort: `error` is what the user must see. `remove_dir` takes only an empty folder.
        let _ = if leftover == Leftover::Discard { fs::remove_dir_all(&partial) } else { fs::remove_dir(&partial) };
        return Err(error);
    }
    if let Some(missing) = missing(&partial) {
        return Err(SourceError::Incomplete { path: partial, missing, hint: "delete it and run again".into() }.into());
    }
    sync(&partial)?;
    fs::rename(&partial, target).map_err(SourceError::io("rename", &partial))?;
    sync_path(parent)?;
    Ok(target.to_path_buf())
}

/// `Some` when the folder is there and complete, `None` when it is not there at all.
pub(super) fn finished(target: &Path, missing: fn(&Path) -> Option<String>) -> Result<Option<PathBuf>, SourceError> {
    if !target.exists() {
        return Ok(None);
    }
    match missing(target) {
        None => Ok(Some(target.to_path_buf())),
        Some(missing) => Err(SourceError::Incomplete {
            path: target.to_path_buf(),
            missing,
            hint: "delete this folder and run again; it is then made anew".into(),
        }),
    }
}

fn lock(path: &Path, progress: &dyn Fn(&str)) -> Result<File, SourceError> {
    let file = File::options().create(true).append(true).open(path).map_err(SourceError::io("open", path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            progress(&format!("waiting for another process that holds `{}`", path.display()));
            file.lock().map_err(SourceError::io("lock", path))?;
        }
        Err(TryLockError::Error(error)) => return Err(SourceError::io("lock", path)(error)),
    }
    Ok(file)
}

fn sync(folder: &Path) -> Result<(), SourceError> {
    for entry in fs::read_dir(folder).map_err(SourceError::io("list", folder))? {
        sync_path(&entry.map_err(SourceError::io("list", folder))?.path())?;
    }
    sync_path(folder)
}

fn sync_path(path: &Path) -> Result<(), SourceError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(SourceError::io("sync", path))
}
