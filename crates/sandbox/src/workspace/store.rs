//! Copies of file contents in a private folder: each kept once, without holes, and gone with its last user.

use rustix::fs::{AtFlags, CWD, Mode, OFlags, SeekFrom};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const COPY_BYTES: usize = 128 << 10;
/// What a file takes on disk at least; small files count as that much.
const BLOCK_BYTES: u64 = 4096;

/// The folder and what is in it.
#[derive(Debug)]
pub(super) struct Store {
    folder: OwnedFd,
    bytes: AtomicU64,
    bytes_max: u64,
    next_number: AtomicU64,
}

/// The content of one file at one time: its data without the holes between them. Dropping it removes the copy.
#[derive(Debug)]
pub(super) struct Content {
    store: Arc<Store>,
    /// `None` for a file without data.
    number: Option<u64>,
    /// Where the data belong in the file.
    parts: Vec<Range<u64>>,
    bytes: u64,
}

/// Why a content was not kept.
#[derive(Debug)]
pub(super) enum KeepError {
    /// There is no room for it.
    TooLarge,
    /// The file of the workspace cannot be read.
    Source(io::Error),
    /// The store cannot be written.
    Store(io::Error),
}

impl Store {
    /// Use `folder`, made if it is missing, as nobody else does.
    pub fn new(folder: &Path, bytes_max: u64) -> io::Result<Store> {
        match rustix::fs::mkdirat(CWD, folder, Mode::RWXU) {
            Err(Errno::EXIST) | Ok(()) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let folder = rustix::fs::openat(CWD, folder, flags, Mode::empty())?;
        rustix::fs::fchmod(&folder, Mode::RWXU)?;
        Ok(Store { folder, bytes: AtomicU64::new(0), bytes_max, next_number: AtomicU64::new(0) })
    }

    /// What all contents take together.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// Keep the first `size` bytes of `source`.
    pub fn keep(self: &Arc<Self>, source: &File, size: u64) -> Result<Content, KeepError> {
        let parts = parts_of(source, size).map_err(KeepError::Source)?;
        let data: u64 = parts.iter().map(|part| part.end - part.start).sum();
        let bytes = data.next_multiple_of(BLOCK_BYTES);
        if self.bytes().saturating_add(bytes) > self.bytes_max {
            return Err(KeepError::TooLarge);
        }
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let mut content = Content { store: Arc::clone(self), number: None, parts, bytes };
        if data == 0 {
            return Ok(content);
        }
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.folder, number.to_string(), flags, Mode::RUSR | Mode::WUSR);
        let file = File::from(file.map_err(|error| KeepError::Store(error.into()))?);
        content.number = Some(number);
        let mut position = 0;
        for part in &content.parts {
            let length = part.end - part.start;
            copy(source, part.start, &file, position, length)?;
            position += length;
        }
        Ok(content)
    }
}

impl Content {
    /// Whether the first `size` bytes of `file` are this content, holes included.
    pub fn matches(&self, file: &File, size: u64) -> io::Result<bool> {
        if parts_of(file, size)? != self.parts {
            return Ok(false);
        }
        let Some(copy) = self.open()? else { return Ok(true) };
        let (mut one, mut other) = (vec![0; COPY_BYTES], vec![0; COPY_BYTES]);
        let mut position = 0;
        for part in &self.parts {
            let mut offset = part.start;
            while offset < part.end {
                let chunk = chunk_bytes(part.end - offset);
                copy.read_exact_at(&mut one[..chunk], position)?;
                match file.read_exact_at(&mut other[..chunk], offset) {
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
                    result => result?,
                }
                if one[..chunk] != other[..chunk] {
                    return Ok(false);
                }
                offset += chunk as u64;
                position += chunk as u64;
            }
        }
        Ok(true)
    }

    /// Write it to the empty `file`, which gets `size` bytes.
    pub fn write_to(&self, file: &File, size: u64) -> io::Result<()> {
        rustix::fs::ftruncate(file, size)?;
        let Some(source) = self.open()? else { return Ok(()) };
        let mut position = 0;
        for part in &self.parts {
            let length = part.end - part.start;
            copy(&source, position, file, part.start, length).map_err(|error| match error {
                KeepError::Source(error) | KeepError::Store(error) => error,
                KeepError::TooLarge => Errno::FBIG.into(),
            })?;
            position += length;
        }
        Ok(())
    }

    fn open(&self) -> io::Result<Option<File>> {
        let Some(number) = self.number else { return Ok(None) };
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        Ok(Some(rustix::fs::openat(&self.store.folder, number.to_string(), flags, Mode::empty())?.into()))
    }
}

impl Drop for Content {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            // The folder goes with its session; nothing else can be done here.
            let _ = rustix::fs::unlinkat(&self.store.folder, number.to_string(), AtFlags::empty());
        }
        self.store.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Where `file` has data within its first `size` bytes. Everywhere, on a file system without holes.
fn parts_of(file: &File, size: u64) -> io::Result<Vec<Range<u64>>> {
    let mut parts = Vec::new();
    let mut end = 0;
    while end < size {
        let start = match rustix::fs::seek(file.as_fd(), SeekFrom::Data(end)) {
            // Only a hole is left, or less than there was.
            Err(Errno::NXIO) => break,
            Err(Errno::INVAL) => end,
            result => result?,
        };
        if start >= size {
            break;
        }
        end = match rustix::fs::seek(file.as_fd(), SeekFrom::Hole(start)) {
            Err(Errno::NXIO) => break,
            Err(Errno::INVAL) => size,
            result => result?.min(size),
        };
        parts.push(start..end);
    }
    Ok(parts)
}

/// Copy `length` bytes, inside the kernel where the file systems can share or copy them. What `source` has lost since
/// is left out.
fn copy(source: &File, from: u64, target: &File, to: u64, length: u64) -> Result<(), KeepError> {
    let (mut offset, mut position) = (from, to);
    let mut left = length;
    while left > 0 {
        let length = usize::try_from(left).unwrap_or(usize::MAX >> 1);
        match rustix::fs::copy_file_range(source, Some(&mut offset), target, Some(&mut position), length) {
            // Some file systems answer 0 for what they cannot do.
            Ok(0) | Err(_) => break,
            Ok(copied) => left -= copied as u64,
        }
    }
    let mut buffer = if left > 0 { vec![0; COPY_BYTES] } else { Vec::new() };
    while left > 0 {
        let chunk = chunk_bytes(left);
        let read = match source.read_at(&mut buffer[..chunk], offset) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(KeepError::Source(error)),
        };
        target.write_all_at(&buffer[..read], position).map_err(KeepError::Store)?;
        offset += read as u64;
        position += read as u64;
        left -= read as u64;
    }
    Ok(())
}

fn chunk_bytes(left: u64) -> usize {
    usize::try_from(left).map_or(COPY_BYTES, |left| left.min(COPY_BYTES))
}
