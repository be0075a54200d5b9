//! The public way in and out of a workspace: list, read, write and remove its files.

use super::dir::{Actor, Dir, Facts, Owner, facts_of, kind_name};
use super::error::FileError;
use super::names::{parse, printable, shown};
use super::remove::remove;
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};

const COPY_BYTES: usize = 128 << 10;
/// Reading starts over this often if the file changes meanwhile.
const READS_MAX: usize = 3;
/// Names removed at most by one call.
const REMOVED_MAX: u64 = 10_000_000;
const FOLDER_MODE: u32 = 0o755;
const FILE_MODE: u32 = 0o644;

/// The files of one workspace. Paths are relative to it, and written as in [`Entry::path`].
///
/// Code in the session may change anything while a call runs; no call leaves the workspace, follows a link, opens
/// what is not a regular file or a folder, or waits for the session.
#[derive(Debug)]
pub struct Files {
    root: Dir,
}

/// One thing in a folder.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Entry {
    /// Relative to the workspace. A backslash is written `\\`, and each byte of what cannot be printed or is not
    /// UTF-8 is written `\xHH`, so that every file has a path, and one only, that can be shown and given back.
    pub path: String,
    /// What it is.
    pub kind: EntryKind,
    /// Size of its content.
    pub bytes: u64,
    /// When it was modified, in milliseconds since 1970.
    pub modified_ms: u64,
}

/// Kinds of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link, which is never followed.
    Link,
    /// A FIFO, a socket or a device, which is never opened.
    Other,
}

/// What a folder holds.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Listing {
    /// By path.
    pub entries: Vec<Entry>,
    /// Whether there is more than was asked for; what is missing can be anything.
    pub is_cut: bool,
}

impl Files {
    /// `root` is open on the workspace. `owner` is the session's user where the host is privileged, else `None`.
    pub(crate) fn new(root: OwnedFd, owner: Option<Owner>) -> Files {
        Files { root: Dir::new(root, Actor(owner)) }
    }

    /// What is in `folder`, at most `entries_max` of it; the empty path is the workspace itself.
    ///
    /// # Errors
    /// When there is no such folder, or it cannot be read.
    pub fn list(&self, folder: &str, entries_max: usize) -> Result<Listing, FileError> {
        let failed = |source| FileError::of("listing", folder, source);
        let names = if folder.is_empty() { Vec::new() } else { parsed(folder)? };
        let opened = self.folder_of(&names).map_err(failed)?;
        let mut prefix = names.join(&b'/');
        if !prefix.is_empty() {
            prefix.push(b'/');
        }
        let mut listing = Listing { entries: Vec::new(), is_cut: false };
        let each = |name: &[u8]| {
            if listing.entries.len() == entries_max {
                listing.is_cut = true;
                return Ok(false);
            }
            match opened.facts(name) {
                Ok(facts) => listing.entries.push(entry([&prefix, name].concat(), &facts)),
                // Gone since.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            Ok(true)
        };
        opened.each_name(each).map_err(failed)?;
        listing.entries.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(listing)
    }

    /// The content of the file at `path`, of `bytes_max` bytes at most.
    ///
    /// # Errors
    /// When it is no regular file, is larger, or changes while it is read.
    pub fn read(&self, path: &str, bytes_max: u64) -> Result<Vec<u8>, FileError> {
        let failed = |source| FileError::of("reading", path, source);
        for _ in 0..READS_MAX {
            let file = self.open(path)?;
            let before = facts_of(file.as_fd()).map_err(failed)?;
            if before.bytes > bytes_max {
                return Err(FileError::TooLarge { path: printable(path), bytes: before.bytes, bytes_max });
            }
            let size = usize::try_from(before.bytes).map_err(|_| failed(Errno::NOMEM.into()))?;
            let mut content = Vec::new();
            content.try_reserve_exact(size).map_err(|_| failed(Errno::NOMEM.into()))?;
            (&file).take(before.bytes).read_to_end(&mut content).map_err(failed)?;
            let after = facts_of(file.as_fd()).map_err(failed)?;
            let is_still =
                (before.bytes, before.modified, before.changed) == (after.bytes, after.modified, after.changed);
            if is_still && content.len() == size {
                return Ok(content);
            }
        }
        Err(FileError::Changed { path: printable(path) })
    }

    /// The regular file at `path`, open for reading. It may grow, shrink and change while the caller reads it, and a
    /// sparse file has any size: take its size once, and read no more than that.
    ///
    /// # Errors
    /// When it is no regular file, or permissions refuse.
    pub fn open(&self, path: &str) -> Result<File, FileError> {
        let failed = |source| FileError::of("opening", path, source);
        let name = file_name(path)?.join(&b'/');
        let look = self.root.open(&name, OFlags::PATH, 0).map_err(failed)?;
        let facts = facts_of(look.as_fd()).map_err(failed)?;
        match facts.kind {
            FileType::RegularFile => {}
            FileType::Symlink => return Err(FileError::Link { path: printable(path) }),
            other => return Err(FileError::NotAFile { path: printable(path), kind: kind_name(other) }),
        }
        let (file, facts) = self.root.readable(&name).map_err(failed)?;
        if facts.is_shared(self.root.actor) {
            return Err(FileError::Shared { path: printable(path) });
        }
        Ok(file)
    }

    /// Put `content`, of `bytes_max` bytes at most, at `path`, and return its size. Folders above it are made; a file
    /// or link that is there is replaced at once, so that no reader sees half of it.
    ///
    /// # Errors
    /// When it is larger, `content` cannot be read, or the workspace cannot hold it. Nothing changes then but for
    /// new folders.
    pub fn write(&self, path: &str, content: &mut dyn Read, bytes_max: u64) -> Result<u64, FileError> {
        let failed = |source| FileError::of("writing", path, source);
        let names = file_name(path)?;
        let (name, above) = names.split_last().ok_or(FileError::Path { path: printable(path), reason: IS_ROOT })?;
        let mut folder = self.folder_of(&[]).map_err(failed)?;
        for above in above {
            match folder.make_folder(above, FOLDER_MODE) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
                _ => folder = folder.folder(above).map_err(failed)?,
            }
        }
        let (unfinished, mut file) = folder.create(0o600).map_err(failed)?;
        let result = fill(&mut file, path, content, bytes_max).and_then(|bytes| {
            folder.set_mode(file.as_fd(), FILE_MODE).map_err(failed)?;
            folder.rename(&unfinished, &folder, name).map_err(failed)?;
            Ok(bytes)
        });
        if result.is_err() {
            // It may be gone: the session can remove it at any time.
            let _ = folder.unlink(&unfinished);
        }
        result
    }

    /// Remove what is at `path`: a file, a link, a special file, or a folder with all that is in it.
    ///
    /// # Errors
    /// When there is nothing, or permissions refuse. A part of a folder may be gone then.
    pub fn remove(&self, path: &str) -> Result<(), FileError> {
        let failed = |source| FileError::of("removing", path, source);
        let names = parsed(path)?;
        let (name, above) = names.split_last().ok_or(FileError::Path { path: printable(path), reason: IS_ROOT })?;
        let folder = self.folder_of(above).map_err(failed)?;
        let mut left = REMOVED_MAX;
        remove(&folder, name, &mut left).map_err(failed)
    }

    fn folder_of(&self, names: &[Vec<u8>]) -> io::Result<Dir> {
        if names.is_empty() { self.root.folder(b".") } else { self.root.folder(&names.join(&b'/')) }
    }
}

const IS_ROOT: &str = "it is the workspace itself";

fn parsed(path: &str) -> Result<Vec<Vec<u8>>, FileError> {
    parse(path).map_err(|reason| FileError::Path { path: printable(path), reason })
}

/// The names of a path to a file.
fn file_name(path: &str) -> Result<Vec<Vec<u8>>, FileError> {
    let names = parsed(path)?;
    let reason = match names.is_empty() {
        true => IS_ROOT,
        false if path.ends_with('/') => "it ends with `/`, as only the path of a folder does",
        false => return Ok(names),
    };
    Err(FileError::Path { path: printable(path), reason })
}

fn fill(file: &mut File, path: &str, content: &mut dyn Read, bytes_max: u64) -> Result<u64, FileError> {
    let mut buffer = vec![0; COPY_BYTES];
    let mut bytes = 0;
    loop {
        let read = match content.read(&mut buffer) {
            Ok(0) => return Ok(bytes),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(FileError::Content { path: printable(path), source }),
        };
        bytes += read as u64;
        if bytes > bytes_max {
            return Err(FileError::TooLarge { path: printable(path), bytes, bytes_max });
        }
        file.write_all(&buffer[..read]).map_err(|source| FileError::of("writing", path, source))?;
    }
}

fn entry(path: Vec<u8>, facts: &Facts) -> Entry {
    let (seconds, nanoseconds) = facts.modified;
    let milliseconds = u64::try_from(seconds)
        .map_or(0, |seconds| seconds.saturating_mul(1000).saturating_add(u64::from(nanoseconds) / 1_000_000));
    let kind = match facts.kind {
        FileType::RegularFile => EntryKind::File,
        FileType::Directory => EntryKind::Folder,
        FileType::Symlink => EntryKind::Link,
        _ => EntryKind::Other,
    };
    Entry { path: shown(&path), kind, bytes: facts.bytes, modified_ms: milliseconds }
}
