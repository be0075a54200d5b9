//! The durable story of a session: a file of events, and blobs for what is large.
//!
//! A journal is a folder that only its owner can read. `events.jsonl` has one event per line, each with a sequence
//! number and a check that chains it to the lines before, and is only ever appended to. `blobs/` holds uploaded files,
//! full outputs and figures, named by their SHA-256. After a crash of the server [`steps`] says what to run again, and
//! [`differences`] what came out otherwise.
//!
//! The journal keeps code and output as they are. A key that a cell prints, or a file with one, is in it until the
//! folder is deleted. The check finds edits by hand, not by somebody who computes it anew.

mod entry; // read first: what can happen

mod line; // how it is written

mod locked; // by one session at a time

mod compare; // when two runs are the same

mod replay; // what to run again

#[cfg(test)]
mod tests;

pub use compare::{differences, normalized};
pub use entry::{Entry, Output, Record, RecordedCell, RecordedDisplay};
pub use replay::{ReplayError, Step, steps};

use line::{LINE_BYTES_MAX, Position};
use locked::Locked;
use rustix::fs::{Mode, OFlags};
use sha2::{Digest, Sha256};
use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

const EVENTS: &str = "events.jsonl";
const BLOBS: &str = "blobs";
const DIGEST_DIGITS: usize = 64;

/// Why a journal could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The folder holds something already.
    #[error("`{}` is not empty\nhint: open the journal in it, or choose another folder", folder.display())]
    NotEmpty {
        /// The folder.
        folder: PathBuf,
    },
    /// Somebody else writes this journal.
    #[error(
        "the journal in `{}` is in use by another session\nhint: end that session first; after a crash, wait until its \
        process is gone",
        folder.display()
    )]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// A line is not what was written there.
    #[error(
        "`{}` line {line}: {reason}\nhint: put the file back as it was, or delete this line and all behind it to go on \
        from there",
        path.display()
    )]
    Line {
        /// The file.
        path: PathBuf,
        /// Counts from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// An event does not fit into a line.
    #[error("an event of {bytes} bytes is longer than the limit of {LINE_BYTES_MAX}\nhint: keep large parts as blobs")]
    TooLong {
        /// Size of the line.
        bytes: usize,
    },
    /// An event cannot be written as JSON.
    #[error("an event cannot be written as JSON")]
    Json {
        /// The reason.
        source: serde_json::Error,
    },
    /// There is no such blob, or not with this content.
    #[error("blob `{name}` {reason}\nhint: put the file back into `{BLOBS}` of the journal")]
    Blob {
        /// Its name, as it was asked for.
        name: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// Earlier the disk did not take what was written, so that nobody knows what it holds.
    #[error(
        "the journal in `{}` failed to reach the disk before\nhint: see to the disk, then open it anew",
        folder.display()
    )]
    Unsynced {
        /// The folder.
        folder: PathBuf,
    },
    /// A call of the system failed: a full disk, most likely. Earlier events can be read.
    #[error("{action} `{}` failed", path.display())]
    System {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
}

/// An unfinished last line that was cut off when a journal was opened: the event a crash fell into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Counts from 1.
    pub line: usize,
    /// How many bytes were lost.
    pub bytes: usize,
}

impl fmt::Display for Cut {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cut { line, bytes } = self;
        write!(
            formatter,
            "the journal's last event (line {line}, {bytes} bytes) was not written to its end, and is lost"
        )
    }
}

/// A journal that is open for writing. No other process can open it meanwhile.
#[derive(Debug)]
pub struct Journal {
    folder: PathBuf,
    events: Locked,
    position: Position,
    /// Behind `position` there may be part of a line.
    has_remains: bool,
    /// New names in the folders, which a sync of a file does not cover.
    has_new_names: bool,
    /// A sync failed. The kernel may have dropped what it could not write, and reports that once.
    is_unsynced: bool,
}

impl Journal {
    /// Begin a journal in `folder`, which is made, or empty.
    ///
    /// # Errors
    /// When the folder holds something, or cannot be written.
    pub fn create(folder: &Path) -> Result<Journal, JournalError> {
        let failed = |action| system(action, folder);
        match DirBuilder::new().mode(0o700).recursive(true).create(folder) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(failed("making")(error)),
            _ => {}
        }
        if std::fs::read_dir(folder).map_err(failed("reading"))?.next().is_some() {
            return Err(JournalError::NotEmpty { folder: folder.to_path_buf() });
        }
        rustix::fs::chmod(folder, Mode::RWXU).map_err(|error| failed("closing to others")(error.into()))?;
        let path = folder.join(EVENTS);
        let created = OpenOptions::new().read(true).append(true).create_new(true).mode(0o600).open(&path);
        let events = match created {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                return Err(JournalError::NotEmpty { folder: folder.to_path_buf() });
            }
            created => created.map_err(system("making", &path))?,
        };
        let events = lock(events, folder)?;
        let blobs = folder.join(BLOBS);
        DirBuilder::new().mode(0o700).create(&blobs).map_err(system("making", &blobs))?;
        // Best effort, for the name of the folder itself: the one above may belong to others.
        let above = folder.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let _ = File::open(above).and_then(|above| above.sync_all());
        Ok(Journal::at(folder, events, Position::start()))
    }

    /// Go on with the journal in `folder`: its events, and what was cut off if a crash fell into the last one.
    ///
    /// # Errors
    /// When another session has it open, a line is not what was written, or it cannot be read.
    pub fn open(folder: &Path) -> Result<(Journal, Vec<Record>, Option<Cut>), JournalError> {
        let path = folder.join(EVENTS);
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let opened = OpenOptions::new().read(true).append(true).custom_flags(flags.bits().cast_signed()).open(&path);
        let events = opened.map_err(system("opening", &path))?;
        let events = lock(events, folder)?;
        let (records, position, cut) = line::read_all(&*events, &path)?;
        if cut.is_some() {
            events.set_len(position.bytes).map_err(system("cutting", &path))?;
        }
        Ok((Journal::at(folder, events, position), records, cut))
    }

    fn at(folder: &Path, events: Locked, position: Position) -> Journal {
        let folder = folder.to_path_buf();
        Journal { folder, events, position, has_remains: false, has_new_names: true, is_unsynced: false }
    }

    /// Write an event and give its sequence number. A cell, an undo and the end of a session are on the disk when this
    /// returns; others with the next of these, or with [`Journal::sync`].
    ///
    /// # Errors
    /// When it is too long or the disk does not take it. It is then not part of the journal, or, if the disk failed in
    /// the sync, perhaps. Earlier events are.
    pub fn append(&mut self, entry: &Entry) -> Result<u64, JournalError> {
        self.refuse_unsynced()?;
        let path = self.folder.join(EVENTS);
        if self.has_remains {
            self.events.set_len(self.position.bytes).map_err(system("cutting", &path))?;
            self.has_remains = false;
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let milliseconds = since.as_millis().try_into().unwrap_or(u64::MAX);
        let record = Record { sequence: self.position.sequence, milliseconds, entry: entry.clone() };
        let (line, behind) = self.position.line(&record).map_err(|source| JournalError::Json { source })?;
        if line.len() > LINE_BYTES_MAX {
            return Err(JournalError::TooLong { bytes: line.len() });
        }
        if matches!(entry, Entry::Started { .. }) {
            // The policy may be nested more deeply than can be read again.
            serde_json::from_slice::<Record>(&line).map_err(|source| JournalError::Json { source })?;
        }
        if let Err(source) = (&*self.events).write_all(&line) {
            // Cutting needs no space. Should it fail nevertheless, the next append tries again.
            self.has_remains = self.events.set_len(self.position.bytes).is_err();
            return Err(system("writing", &path)(source));
        }
        self.position = behind;
        if matches!(entry, Entry::Cell(_) | Entry::Undone { .. } | Entry::Ended) {
            self.sync()?;
        }
        Ok(record.sequence)
    }

    /// Wait until everything is on the disk.
    ///
    /// # Errors
    /// When the disk fails. Nobody knows then what it holds, and the journal takes no more until it is opened anew.
    pub fn sync(&mut self) -> Result<(), JournalError> {
        self.refuse_unsynced()?;
        let mut synced = self.events.sync_data();
        if self.has_new_names {
            let folders = [self.folder.join(BLOBS), self.folder.clone()];
            synced = synced.and_then(|()| folders.iter().try_for_each(|folder| File::open(folder)?.sync_all()));
        }
        self.is_unsynced = synced.is_err();
        self.has_new_names &= self.is_unsynced;
        synced.map_err(system("syncing", &self.folder))
    }

    /// Keep what `content` gives, and return the name by which [`Journal::blob`] finds it: its SHA-256.
    ///
    /// # Errors
    /// When `content` fails, or the disk does not take it.
    pub fn put_blob(&mut self, content: &mut dyn Read) -> Result<String, JournalError> {
        let blobs = self.folder.join(BLOBS);
        let failed = system("writing into", &blobs);
        let mut file = tempfile::NamedTempFile::new_in(&blobs).map_err(&failed)?;
        let mut hasher = Sha256::new();
        let mut chunk = vec![0; 64 << 10];
        loop {
            let count = match content.read(&mut chunk) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(failed(error)),
            };
            hasher.update(&chunk[..count]);
            file.write_all(&chunk[..count]).map_err(&failed)?;
        }
        let name = hexadecimal(&hasher.finalize());
        file.as_file().sync_data().map_err(&failed)?;
        // The same content again takes the place of the old, which may have been damaged.
        file.persist(blobs.join(&name)).map_err(|error| failed(error.error))?;
        self.has_new_names = true;
        Ok(name)
    }

    /// The content that [`Journal::put_blob`] kept under this name, checked against it.
    ///
    /// # Errors
    /// When there is none, or it was changed.
    pub fn blob(&self, name: &str) -> Result<File, JournalError> {
        let wrong = |reason| JournalError::Blob { name: name.chars().take(DIGEST_DIGITS).collect(), reason };
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if name.len() != DIGEST_DIGITS || !name.bytes().all(is_digit) {
            return Err(wrong("is not a SHA-256"));
        }
        let path = self.folder.join(BLOBS).join(name);
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let mut file = match OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(wrong("is missing")),
            opened => opened.map_err(system("opening", &path))?,
        };
        if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
            return Err(wrong("is not a file"));
        }
        let mut hasher = Sha256::new();
        let mut chunk = vec![0; 64 << 10];
        loop {
            match file.read(&mut chunk).map_err(system("reading", &path))? {
                0 => break,
                count => hasher.update(&chunk[..count]),
            }
        }
        if hexadecimal(&hasher.finalize()) != name {
            return Err(wrong("was changed"));
        }
        file.seek(SeekFrom::Start(0)).map_err(system("reading", &path))?;
        Ok(file)
    }

    /// Begin another journal in `folder` with the events up to number `end`, or all, and with the blobs of this one.
    /// Returns it with the number of the last event that both have.
    ///
    /// # Errors
    /// When this one cannot be read, or that one not be written.
    pub fn branch(&self, end: Option<u64>, folder: &Path) -> Result<(Journal, u64), JournalError> {
        let path = self.folder.join(EVENTS);
        let events = File::open(&path).map_err(system("opening", &path))?;
        let (records, _, _) = line::read_all(&events, &path)?;
        let mut copy = Journal::create(folder)?;
        let blobs = self.folder.join(BLOBS);
        for blob in std::fs::read_dir(&blobs).map_err(system("reading", &blobs))?.flatten() {
            let target = folder.join(BLOBS).join(blob.file_name());
            // They are named after their content, so one file can serve both.
            let linked = std::fs::hard_link(blob.path(), &target);
            linked
                .or_else(|_| std::fs::copy(blob.path(), &target).map(drop))
                .map_err(system("copying into", folder))?;
        }
        let mut last = 0;
        for record in records.iter().filter(|record| end.is_none_or(|end| record.sequence <= end)) {
            last = copy.append(&record.entry)?;
        }
        Ok((copy, last))
    }

    fn refuse_unsynced(&self) -> Result<(), JournalError> {
        match self.is_unsynced {
            true => Err(JournalError::Unsynced { folder: self.folder.clone() }),
            false => Ok(()),
        }
    }
}

fn lock(events: File, folder: &Path) -> Result<Locked, JournalError> {
    Locked::new(events).map_err(|error| match error {
        TryLockError::WouldBlock => JournalError::InUse { folder: folder.to_path_buf() },
        TryLockError::Error(error) => system("locking", &folder.join(EVENTS))(error),
    })
}

fn system(action: &'static str, path: &Path) -> impl Fn(io::Error) -> JournalError {
    let path = path.to_path_buf();
    move |source| JournalError::System { action, path: path.clone(), source }
}

fn digest(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
