//! Files that appear whole or not at all.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::EvalError;

/// Writes `bytes` beside `path`, syncs them, and renames: the file appears whole or not at all.
///
/// # Errors
/// When the folder cannot be written to.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), EvalError> {
    let partial = partial_path(path);
    let written = std::fs::File::create(&partial).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&partial, path)
    });
    written.map_err(|source| {
        // The first error is the one to report.
        let _ = std::fs::remove_file(&partial);
        EvalError::Write { path: path.to_owned(), source }
    })
}

/// Whether `path` can be written later: what takes hours should not fail at its last step. Nothing is left behind.
///
/// # Errors
/// When it is a folder, or its folder is missing or cannot be written to.
pub fn check_writable(path: &Path) -> Result<(), EvalError> {
    let refuse = |reason| EvalError::Out { path: path.to_owned(), reason };
    if path.is_dir() {
        return Err(refuse(std::io::ErrorKind::IsADirectory.into()));
    }
    let partial = partial_path(path);
    let was_there = partial.exists();
    std::fs::File::options().create(true).append(true).open(&partial).map_err(refuse)?;
    if !was_there {
        std::fs::remove_file(&partial).map_err(refuse)?;
    }
    Ok(())
}

pub(crate) fn partial_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_appears_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        write_atomically(&path, b"{}").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"{}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        check_writable(&path).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let missing = folder.path().join("missing/report.json");
        for unwritable in [missing.as_path(), folder.path()] {
            assert!(check_writable(unwritable).unwrap_err().is_bad_input(), "{}", unwritable.display());
        }
        assert!(matches!(write_atomically(&missing, b"{}"), Err(EvalError::Write { .. })));
    }
}
