//! Folders and files that appear whole or not at all, and the folder of a run.

mod held; // one program at a time

use std::fs::{self, File};
use std::path::{Path, PathBuf};

pub use held::Held;

use crate::error::TrainError;

/// Ends the name of what is being written.
const PARTIAL: &str = ".partial";

/// Ends the name of what is being replaced.
const OLD: &str = ".old";

/// Ends the name of a checkpoint that is not what was written.
const DAMAGED: &str = ".damaged";

/// A file of this name in the folder of a run asks it for a checkpoint.
pub const SAVE: &str = "save";

/// Begins the name of a checkpoint folder.
const STEP: &str = "step-";

/// What a finished run leaves.
pub(crate) const RESULTS: [&str; 3] = ["adapter", "merged", "model"];

/// Everything else a run writes into its folder, and what is written about it.
const RECORDS: [&str; 7] =
    ["metrics.jsonl", "config.toml", "plan.jsonl", "samples.jsonl", "tensorboard", "report.html", "comparison.html"];

/// How a run begins.
#[derive(Debug, PartialEq, Eq)]
pub enum Start {
    /// In a folder that is missing or empty, or that will be cleared.
    Fresh,
    /// From this checkpoint folder.
    Continue(PathBuf),
}

/// Writes a folder as a whole: `fill` gets an empty folder beside `target`, which is synced and renamed. What was at
/// `target` is replaced, and there is no moment at which neither is on the disk: after a crash [`recover`] has the rest
/// to do. After an error nothing is left behind.
///
/// # Errors
/// What `fill` says, or what the file system says.
pub fn write_whole(target: &Path, fill: impl FnOnce(&Path) -> Result<(), TrainError>) -> Result<(), TrainError> {
    let partial = with_suffix(target, PARTIAL);
    let written = restore(target)
        .and_then(|()| remove(&partial))
        .and_then(|()| fs::create_dir_all(&partial).map_err(TrainError::write(&partial)))
        .and_then(|()| fill(&partial))
        .and_then(|()| sync(&partial))
        .and_then(|()| replace(target, &partial));
    if let Err(error) = written {
        // The first error is the one to report.
        let _ = remove(&partial);
        return Err(error);
    }
    match target.parent().map(File::open) {
        Some(Ok(parent)) => parent.sync_all().map_err(TrainError::write(target)),
        _ => Ok(()),
    }
}

/// Puts `partial` in the place of `target`.
fn replace(target: &Path, partial: &Path) -> Result<(), TrainError> {
    let old = with_suffix(target, OLD);
    if exists(target) {
        fs::rename(target, &old).map_err(TrainError::write(target))?;
    }
    if let Err(source) = fs::rename(partial, target) {
        // The first error is the one to report; the next start tries again to put the old one back.
        let _ = restore(target);
        return Err(TrainError::Write { path: target.to_owned(), source });
    }
    remove(&old)
}

/// Undoes or completes a [`replace`] of `target` that a crash cut off.
fn restore(target: &Path) -> Result<(), TrainError> {
    let old = with_suffix(target, OLD);
    match (exists(&old), exists(target)) {
        (false, _) => Ok(()),
        (true, true) => remove(&old),
        (true, false) => fs::rename(&old, target).map_err(TrainError::write(target)),
    }
}

fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Undoes or completes every replacement in `dir` that a crash cut off, and removes what was never finished. A folder with
/// other things is left as it is.
///
/// # Errors
/// What the file system says.
pub fn recover(dir: &Path) -> Result<(), TrainError> {
    let names = names(dir)?;
    if names.iter().all(|name| is_own(name)) {
        for target in names.iter().filter_map(|name| name.strip_suffix(OLD)) {
            restore(&dir.join(target))?;
        }
        for unfinished in names.iter().filter(|name| name.ends_with(PARTIAL)) {
            remove(&dir.join(unfinished))?;
        }
    }
    Ok(())
}

/// Names in a folder, sorted; none when it is missing.
fn names(dir: &Path) -> Result<Vec<String>, TrainError> {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == NotFound => return Ok(Vec::new()),
        Err(error) if error.kind() == NotADirectory => return Err(TrainError::NotAFolder { dir: dir.to_owned() }),
        Err(source) => return Err(TrainError::Write { path: dir.to_owned(), source }),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(TrainError::write(dir))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Writes a file as a whole, through a file beside it.
///
/// # Errors
/// What the file system says.
pub fn write_file(target: &Path, content: &[u8]) -> Result<(), TrainError> {
    let partial = with_suffix(target, PARTIAL);
    let written = fs::write(&partial, content)
        .and_then(|()| File::open(&partial)?.sync_all())
        .and_then(|()| fs::rename(&partial, target));
    written.map_err(|source| {
        let _ = fs::remove_file(&partial);
        TrainError::Write { path: target.to_owned(), source }
    })
}

/// Writes a file as a whole that is too large to be held: `fill` makes it beside `target`, under another name. What was at
/// `target` stays until then, and after an error.
///
/// # Errors
/// What `fill` says, or what the file system says.
pub fn write_file_by(target: &Path, fill: impl FnOnce(&Path) -> Result<(), TrainError>) -> Result<(), TrainError> {
    let partial = with_suffix(target, PARTIAL);
    if let Some(parent) = target.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(parent).map_err(TrainError::write(parent))?;
    }
    let created = File::create(&partial).map(|_| ()).map_err(TrainError::write(target));
    let written = created.and_then(|()| fill(&partial)).and_then(|()| {
        let renamed = File::open(&partial).and_then(|file| file.sync_all()).and_then(|()| fs::rename(&partial, target));
        renamed.map_err(TrainError::write(target))
    });
    if written.is_err() {
        let _ = fs::remove_file(&partial);
    }
    written
}

/// Decides how a run in `dir` begins, without changing anything.
///
/// # Errors
/// When the folder holds a run and neither `resume` nor `overwrite` was asked for, holds results without a checkpoint
/// to resume, or holds what no run wrote; or when `dir` is a file.
pub fn inspect(dir: &Path, resume: bool, overwrite: bool) -> Result<Start, TrainError> {
    let names = names(dir)?;
    if let Some(entry) = names.iter().find(|name| !is_own(name)) {
        return Err(TrainError::FolderForeign { dir: dir.to_owned(), entry: entry.clone() });
    }
    if resume && let Some((_, newest)) = checkpoints(dir).pop() {
        return Ok(Start::Continue(newest));
    }
    let has_results = names.iter().any(|name| RESULTS.contains(&name.as_str()));
    if names.is_empty() || overwrite || (resume && !has_results) {
        return Ok(Start::Fresh);
    }
    if resume {
        return Err(TrainError::NothingToResume { dir: dir.to_owned() });
    }
    Err(TrainError::FolderTaken { dir: dir.to_owned() })
}

/// Makes `dir` an empty folder. Only what [`inspect`] has accepted is removed.
///
/// # Errors
/// What the file system says.
pub fn clear(dir: &Path) -> Result<(), TrainError> {
    fs::create_dir_all(dir).map_err(TrainError::write(dir))?;
    for entry in fs::read_dir(dir).map_err(TrainError::write(dir))? {
        let entry = entry.map_err(TrainError::write(dir))?;
        if is_own(&entry.file_name().to_string_lossy()) {
            discard(&entry.path())?;
        }
    }
    Ok(())
}

/// Finished checkpoints of a run with their steps, oldest first.
pub fn checkpoints(dir: &Path) -> Vec<(usize, PathBuf)> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let step = |entry: fs::DirEntry| Some((step_of(&entry.file_name().to_string_lossy())?, entry.path()));
    let mut found: Vec<_> = entries.filter_map(step).collect();
    found.sort();
    found
}

/// Name of the checkpoint after `step` steps.
pub fn step_name(step: usize) -> String {
    format!("{STEP}{step:06}")
}

/// Bytes of the checkpoints in a folder.
pub fn checkpoint_bytes(dir: &Path) -> usize {
    let files = checkpoints(dir).into_iter().flat_map(|(_, path)| fs::read_dir(path).into_iter().flatten().flatten());
    files.filter_map(|file| file.metadata().ok()).map(|file| file.len() as usize).sum()
}

/// Removes a file or folder that is whole: under another name first, so that no part of it looks whole in between.
///
/// # Errors
/// What the file system says.
pub fn discard(path: &Path) -> Result<(), TrainError> {
    if path.to_string_lossy().ends_with(PARTIAL) {
        return remove(path);
    }
    let partial = with_suffix(path, PARTIAL);
    remove(&partial)?;
    fs::rename(path, &partial).map_err(TrainError::write(path))?;
    remove(&partial)
}

/// Gives a damaged checkpoint a name that none has.
///
/// # Errors
/// What the file system says.
pub fn set_aside(checkpoint: &Path) -> Result<(), TrainError> {
    let aside = with_suffix(checkpoint, DAMAGED);
    remove(&aside)?;
    fs::rename(checkpoint, &aside).map_err(TrainError::write(&aside))
}

/// Removes a file or folder if it is there.
///
/// # Errors
/// What the file system says.
pub fn remove(path: &Path) -> Result<(), TrainError> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => Ok(()),
    };
    removed.map_err(TrainError::write(path))
}

fn step_of(name: &str) -> Option<usize> {
    name.strip_prefix(STEP)?.parse().ok()
}

fn is_own(name: &str) -> bool {
    let name = [PARTIAL, OLD, DAMAGED].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
    RESULTS.contains(&name) || RECORDS.contains(&name) || step_of(name).is_some() || name == SAVE
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Brings a folder's files and then the folder itself to the disk.
fn sync(dir: &Path) -> Result<(), TrainError> {
    for entry in fs::read_dir(dir).map_err(TrainError::write(dir))? {
        let path = entry.map_err(TrainError::write(dir))?.path();
        let synced = share(&path, dir).and_then(|()| File::open(&path)?.sync_all());
        synced.map_err(TrainError::write(&path))?;
    }
    File::open(dir).and_then(|file| file.sync_all()).map_err(TrainError::write(dir))
}

/// Safetensors come readable by their owner alone. Gives a file the permissions that its folder got from the umask.
#[cfg(unix)]
fn share(path: &Path, dir: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(dir)?.permissions().mode() & 0o666;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn share(_path: &Path, _dir: &Path) -> std::io::Result<()> {
    Ok(())
}
