//! Files of a suite as they lie on the disk. A suite may come from anywhere: nothing outside of its folder is read, no
//! link is followed, nothing is opened that could wait, and nothing is read without a bound.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::OFlags;

/// Bytes of a list of tasks.
pub(super) const LINES_BYTES_MAX: u64 = 64 << 20;
/// Bytes of any other file that is read as text.
pub(super) const TEXT_BYTES_MAX: u64 = 1 << 20;
/// Bytes of all files that one task puts into the workspace.
pub(super) const FILES_BYTES_MAX: u64 = 16 << 20;
/// How many they may be.
pub(super) const FILES_MAX: usize = 1000;
/// Folders within folders.
pub(super) const DEPTH_MAX: usize = 16;
/// Names in one folder.
const NAMES_MAX: usize = 10_000;

/// The bytes of the plain file at `path`, at most `bytes_max`. The error goes on where the path was named.
pub(super) fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, String> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).map_err(|_| "cannot be opened".to_owned())?;
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file: File = opened.map_err(|error| reason(path, &error))?;
    let facts = file.metadata().map_err(|error| reason(path, &error))?;
    if !facts.is_file() {
        return Err("is no plain file".to_owned());
    }
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(|error| reason(path, &error))?;
    match bytes.len() as u64 > bytes_max {
        true => Err(format!("has more than {bytes_max} bytes")),
        false => Ok(bytes),
    }
}

/// As [`read`], what must be UTF-8.
pub(super) fn read_text(path: &Path, bytes_max: u64) -> Result<String, String> {
    String::from_utf8(read(path, bytes_max)?).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        format!("is not UTF-8: line {}", 1 + before.iter().filter(|byte| **byte == b'\n').count())
    })
}

fn reason(path: &Path, error: &io::Error) -> String {
    let is_link = path.symlink_metadata().is_ok_and(|facts: Metadata| facts.is_symlink());
    match error.kind() {
        _ if is_link => "is a symbolic link, which is not followed".to_owned(),
        io::ErrorKind::NotFound => "is not there".to_owned(),
        _ => format!("cannot be read: {error}"),
    }
}

/// `name` below `folder`, for what a task names: relative, without `..`, and through no link.
pub(super) fn inside(folder: &Path, name: &str) -> Result<PathBuf, String> {
    let mut path = folder.to_owned();
    for part in checked(name)?.components() {
        path.push(part);
        if path.symlink_metadata().is_ok_and(|facts| facts.is_symlink()) {
            return Err("is or passes through a symbolic link, which is not followed".to_owned());
        }
    }
    Ok(path)
}

/// A relative path that leads nowhere else, without its `.`s.
pub(super) fn checked(name: &str) -> Result<PathBuf, String> {
    let mut path = PathBuf::new();
    if name.contains('\\') || name.chars().any(char::is_control) {
        return Err("contains a backslash or a control character".to_owned());
    }
    for part in Path::new(name).components() {
        match part {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            Component::ParentDir => return Err("contains `..`, which could leave the folder".to_owned()),
            _ => return Err("is absolute; give a path below the folder".to_owned()),
        }
    }
    match path.as_os_str().is_empty() || name.ends_with('/') {
        true => Err("names no file".to_owned()),
        false => Ok(path),
    }
}

/// Something in a folder.
pub(super) struct Entry {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// What it is; a link is told as one.
    pub kind: Kind,
}

/// Kinds of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    Other,
}

/// What is in `folder`, by name. Hidden files and what Python leaves behind are passed over.
pub(super) fn list(folder: &Path) -> Result<Vec<Entry>, String> {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|error| reason(folder, &error))? {
        let entry = entry.map_err(|error| reason(folder, &error))?;
        let kind = entry.file_type().map_err(|error| reason(folder, &error))?;
        let name = entry.file_name().into_string().map_err(|name| format!("holds {name:?}, which is not UTF-8"))?;
        if name.starts_with('.') || name == "__pycache__" {
            continue;
        }
        let kind = match () {
            () if kind.is_file() => Kind::File,
            () if kind.is_dir() => Kind::Folder,
            () => Kind::Other,
        };
        entries.push(Entry { name, path: entry.path(), kind });
        if entries.len() > NAMES_MAX {
            return Err(format!("holds more than {NAMES_MAX} names"));
        }
    }
    entries.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(entries)
}
