//! From a path of the settings to the files that it means.

use std::path::{Path, PathBuf};

use crate::error::DataError;

/// Endings of data files; `.gz` and `.zst` may follow those of text.
const ENDINGS: [&str; 3] = ["jsonl", "json", "parquet"];

/// Whether a file's name is that of data.
pub(crate) fn is_data(name: &str) -> bool {
    let plain = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(name);
    ENDINGS.iter().any(|ending| plain.strip_suffix(ending).is_some_and(|stem| stem.ends_with('.')))
}

/// The files of a path: a file is itself, a folder its data files, a pattern with `*`, `?` or `[..]` what it matches. In
/// order of name.
///
/// # Errors
/// When there is nothing.
pub fn expand(path: &Path) -> Result<Vec<PathBuf>, DataError> {
    let fault = |what: String| DataError::Path { path: path.to_owned(), what };
    let text = path.to_string_lossy();
    let is_pattern = text.contains(['*', '?', '[']);
    let mut found = Vec::new();
    if path.is_dir() {
        for entry in std::fs::read_dir(path).map_err(|error| fault(error.to_string()))? {
            let file = entry.map_err(|error| fault(error.to_string()))?.path();
            if file.is_file() && is_data(&file.to_string_lossy()) {
                found.push(file);
            }
        }
        if found.is_empty() {
            return Err(fault("the folder has no .jsonl, .json or .parquet file".to_owned()));
        }
    } else if path.exists() || !is_pattern {
        if !path.exists() {
            return Err(fault("there is no such file or folder".to_owned()));
        }
        found.push(path.to_owned());
    } else {
        let paths = glob::glob(&text).map_err(|error| fault(format!("not a pattern: {}", error.msg)))?;
        for file in paths {
            let file = file.map_err(|error| fault(error.to_string()))?;
            if file.is_file() {
                found.push(file);
            }
        }
        if found.is_empty() {
            return Err(fault("no file matches".to_owned()));
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_data_are_known_by_their_endings() {
        for name in ["a.jsonl", "b/a.json", "a.parquet", "a.jsonl.gz", "a.json.zst"] {
            assert!(is_data(name), "{name}");
        }
        for name in ["a.txt", "jsonl", "README.md", "a.jsonl.bak", "a.gz"] {
            assert!(!is_data(name), "{name}");
        }
    }

    #[test]
    fn a_path_a_folder_and_a_pattern_become_files_in_order_of_name() {
        let room = tempfile::tempdir().unwrap();
        for name in ["b.jsonl", "a.json", "c.parquet", "notes.txt"] {
            std::fs::write(room.path().join(name), "").unwrap();
        }
        let names = |path: &Path| -> Vec<String> {
            let files = expand(path).unwrap();
            files.iter().map(|file| file.file_name().unwrap().to_string_lossy().into_owned()).collect()
        };
        assert_eq!(names(room.path()), ["a.json", "b.jsonl", "c.parquet"]);
        assert_eq!(names(&room.path().join("*.js*")), ["a.json", "b.jsonl"]);
        assert_eq!(names(&room.path().join("notes.txt")), ["notes.txt"]);
        for (path, what) in [("none.jsonl", "no such file"), ("x*.jsonl", "no file matches"), ("a[", "not a pattern")] {
            let error = expand(&room.path().join(path)).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
    }
}
