//! `SHA256SUMS`: the hash of every other file of a folder, in the form that `sha256sum --check` reads.

use std::collections::BTreeMap;
use std::path::Path;

use codeact_data::hash;

use crate::error::TrainError;

/// Name of the file.
const SUMS: &str = "SHA256SUMS";

/// Most bytes of the list itself: a folder has a few files.
const LIST_BYTES_MAX: u64 = 1 << 16;

/// Writes the list of a folder without subfolders.
///
/// # Errors
/// What the file system says.
pub fn write(folder: &Path) -> Result<(), TrainError> {
    let sums = of_files(folder).map_err(TrainError::write(folder))?;
    let lines: String = sums.iter().map(|(name, sum)| format!("{sum}  {name}\n")).collect();
    let path = folder.join(SUMS);
    std::fs::write(&path, lines).map_err(TrainError::write(&path))
}

/// What is not as it was written, in words; `Ok` when all is.
///
/// # Errors
/// The first difference.
pub fn check(folder: &Path) -> Result<(), String> {
    let unread = |name: &str| {
        let name = name.to_owned();
        move |error: std::io::Error| format!("`{name}` cannot be read: {error}")
    };
    let path = folder.join(SUMS);
    let bytes = std::fs::metadata(&path).map_err(unread(SUMS))?.len();
    if bytes > LIST_BYTES_MAX {
        return Err(format!("`{SUMS}` has {bytes} bytes"));
    }
    let text = std::fs::read_to_string(&path).map_err(unread(SUMS))?;
    let written: Option<BTreeMap<&str, &str>> =
        text.lines().map(|line| line.split_once("  ").map(|(sum, name)| (name, sum))).collect();
    let written = written.filter(|_| text.ends_with('\n')).ok_or_else(|| format!("`{SUMS}` is not such a list"))?;
    let found = of_files(folder).map_err(unread("a file"))?;
    if let Some(name) = written.keys().find(|name| !found.contains_key(**name)) {
        return Err(format!("`{}` is missing", name.escape_default()));
    }
    for (name, sum) in &found {
        match written.get(name.as_str()) {
            None => return Err(format!("`{}` was not written by the run", name.escape_default())),
            Some(expected) if expected != sum => return Err(format!("`{name}` is not what the run wrote")),
            Some(_) => {}
        }
    }
    Ok(())
}

fn of_files(folder: &Path) -> std::io::Result<BTreeMap<String, String>> {
    let mut sums = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name != SUMS {
            sums.insert(name, hash::of_file(&entry.path())?);
        }
    }
    Ok(sums)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_is_seen() {
        let room = tempfile::tempdir().expect("a folder");
        let path = |name: &str| room.path().join(name);
        std::fs::write(path("a"), "one").expect("written");
        std::fs::write(path("b"), "").expect("written");
        write(room.path()).expect("written");
        assert_eq!(check(room.path()), Ok(()));
        let change = |name: &str, content: Option<&str>, told: &str| {
            let before = std::fs::read(path(name)).ok();
            match content {
                Some(content) => std::fs::write(path(name), content).expect("written"),
                None => std::fs::remove_file(path(name)).expect("removed"),
            }
            let said = check(room.path()).expect_err(name);
            assert!(said.contains(told), "{said}");
            match before {
                Some(before) => std::fs::write(path(name), before).expect("put back"),
                None => std::fs::remove_file(path(name)).expect("removed"),
            }
        };
        change("a", Some("two"), "`a` is not what the run wrote");
        change("a", None, "`a` is missing");
        change("c", Some(""), "`c` was not written by the run");
        change("SHA256SUMS", None, "cannot be read");
        change("SHA256SUMS", Some("nonsense"), "is not such a list");
        change("SHA256SUMS", Some(""), "is not such a list");
        change("SHA256SUMS", Some(&"x".repeat(1 << 17)), "has 131072 bytes");
        assert_eq!(check(room.path()), Ok(()));
    }
}
