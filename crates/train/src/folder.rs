//! Folders and files that appear whole or not at all, and the folder of a run.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::error::TrainError;

/// Ends the name of what is being written.
const PARTIAL: &str = ".partial";

/// Begins the name of a checkpoint folder.
const STEP: &str = "step-";

/// Everything else a run writes into its folder.
const OWN_ENTRIES: [&str; 4] = ["adapter", "merged", "metrics.jsonl", "config.toml"];

/// How a run begins.
#[derive(Debug, PartialEq, Eq)]
pub enum Start {
    /// In a folder that is missing or empty, or that will be cleared.
    Fresh,
    /// From this checkpoint folder.
    Continue(PathBuf),
}

/// Writes a folder as a whole: `fill` gets an empty folder beside `target`, which is synced and renamed. What was at
/// `target` is replaced. After an error nothing is left behind.
///
/// # Errors
/// What `fill` says, or what the file system says.
pub fn write_whole(target: &Path, fill: impl FnOnce(&Path) -> Result<(), TrainError>) -> Result<(), TrainError> {
    let partial = with_suffix(target, PARTIAL);
    let written = remove(&partial)
        .and_then(|()| fs::create_dir_all(&partial).map_err(TrainError::write(&partial)))
        .and_then(|()| fill(&partial))
        .and_then(|()| sync(&partial))
        .and_then(|()| remove(target))
        .and_then(|()| fs::rename(&partial, target).map_err(TrainError::write(target)));
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

/// Decides how a run in `dir` begins, without changing anything.
///
/// # Errors
/// When the folder holds a run and neither `resume` nor `overwrite` was asked for, or holds what no run wrote.
pub fn inspect(dir: &Path, resume: bool, overwrite: bool) -> Result<Start, TrainError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Start::Fresh),
        Err(source) => {
            return Err(TrainError::Write { path: dir.to_owned(), source });
        }
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(TrainError::write(dir))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    if let Some(entry) = names.iter().find(|name| !is_own(name)) {
        return Err(TrainError::FolderForeign { dir: dir.to_owned(), entry: entry.clone() });
    }
    if resume && let Some((_, newest)) = checkpoints(dir).pop() {
        return Ok(Start::Continue(newest));
    }
    if names.is_empty() || resume || overwrite {
        return Ok(Start::Fresh);
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
            remove(&entry.path())?;
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
    let name = name.strip_suffix(PARTIAL).unwrap_or(name);
    OWN_ENTRIES.contains(&name) || step_of(name).is_some()
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
