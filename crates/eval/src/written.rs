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

/// Whether no file that is `written` is another one of them, or one of `others`, under whatever names.
///
/// # Errors
/// With the first that is.
pub fn check_distinct(written: &[&Path], others: &[&Path]) -> Result<(), EvalError> {
    // Each is written under another name first.
    let partial = written.iter().map(|path| partial_path(path));
    let mut all: Vec<PathBuf> = others.iter().map(|path| real(path)).collect();
    for path in written.iter().map(|path| path.to_path_buf()).chain(partial) {
        let path = real(&path);
        if all.contains(&path) {
            let path = path.display();
            return Err(EvalError::Options(format!("`{path}` is named twice\nhint: give each file a name of its own")));
        }
        all.push(path);
    }
    Ok(())
}

/// The path without links, where the file or its folder exists.
fn real(path: &Path) -> PathBuf {
    let folder = || {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Some(parent.canonicalize().ok()?.join(path.file_name()?))
    };
    path.canonicalize().ok().or_else(folder).unwrap_or_else(|| path.to_owned())
}

/// The path with `end` behind its name.
pub fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

pub(crate) fn partial_path(path: &Path) -> PathBuf {
    beside(path, ".partial")
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

    #[test]
    fn a_file_that_is_written_is_no_other_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let (out, report, read) = (path("out"), path("report"), path("read"));
        std::fs::write(&read, "").unwrap();
        std::os::unix::fs::symlink(&read, path("link")).unwrap();
        check_distinct(&[&out, &report], &[&read, &path("link")]).unwrap();
        let same = [("out", "out"), ("out", "./out"), ("out", "out.partial"), ("out", "read"), ("link", "out")];
        for (one, other) in same {
            let error = check_distinct(&[&path(one), &path(other)], &[&read]).unwrap_err();
            assert!(error.to_string().contains("` is named twice\nhint: ") && error.is_bad_input(), "{error}");
        }
    }
}
