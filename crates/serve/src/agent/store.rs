//! Sessions on the disk: one folder each, below the folder for state.
//!
//! `session.json` is written beside its place and renamed, so that it is whole or the one before. A folder without it
//! is one that was not finished, or one that was deleted, and is removed when the server starts.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::agent::log::EventLog;
use crate::agent::record::{Conversation, SessionRecord};

const SESSIONS: &str = "sessions";
const RECORD: &str = "session.json";
const EVENTS: &str = "events.jsonl";
const JOURNAL: &str = "journal";

/// Why the folder for state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It cannot be made, read or written.
    #[error(
        "cannot use `{path}` for the state of sessions\nhint: `--state-dir DIR`, or `agent.state_dir` in the settings"
    )]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another server uses it.
    #[error(
        "another server keeps its sessions in `{path}`\nhint: give this one a folder of its own: `--state-dir DIR`"
    )]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// There is no home to put it into.
    #[error(
        "there is no folder for the state of sessions: neither XDG_STATE_HOME nor HOME is set\nhint: `--state-dir DIR`"
    )]
    NoHome,
}

/// The folder for state.
pub(crate) struct Store {
    root: PathBuf,
    /// Locked until the server ends, by the kernel if need be.
    _lock: File,
}

/// A session on the disk.
pub(crate) type Found = (SessionFolder, SessionRecord);

/// The folder of one session.
#[derive(Debug, Clone)]
pub(crate) struct SessionFolder(PathBuf);

#[derive(Serialize)]
struct Written<'a> {
    session: &'a SessionRecord,
    conversation: &'a Conversation,
}

#[derive(Deserialize)]
struct WithRecord {
    session: SessionRecord,
}

#[derive(Deserialize)]
struct WithConversation {
    conversation: Conversation,
}

impl Store {
    /// Makes the folder if need be, for this server alone.
    pub fn open(root: &Path) -> Result<Store, StateError> {
        let failed = |source| StateError::Folder { path: root.to_owned(), source };
        let made = DirBuilder::new().recursive(true).mode(0o700).create(root.join(SESSIONS));
        made.map_err(failed)?;
        let mut options = OpenOptions::new();
        let lock = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(root.join(".lock"));
        let lock = lock.map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Store { root: root.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(StateError::InUse { path: root.to_owned() }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// All sessions, and in words what could not be read. What was not finished is removed.
    pub fn load(&self) -> Result<(Vec<Found>, Vec<String>), StateError> {
        let folder = self.root.join(SESSIONS);
        let failed = |source| StateError::Folder { path: folder.clone(), source };
        let (mut sessions, mut problems) = (Vec::new(), Vec::new());
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !is_id(&name) {
                continue;
            }
            let folder = SessionFolder(path);
            match folder.record() {
                Ok(record) if record.id == name => sessions.push((folder, record)),
                Ok(_) => problems.push(format!("session `{name}` is passed over: its file is that of another")),
                Err(error) if error.kind() == io::ErrorKind::NotFound => folder.remove(),
                Err(error) => problems.push(format!("session `{name}` is passed over: {error}")),
            }
        }
        Ok((sessions, problems))
    }

    /// A folder for a new session.
    pub fn create(&self, id: &str) -> io::Result<SessionFolder> {
        let path = self.root.join(SESSIONS).join(id);
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(SessionFolder(path))
    }
}

impl SessionFolder {
    /// Where the sandbox writes down what it ran.
    pub fn journal(&self) -> PathBuf {
        self.0.join(JOURNAL)
    }

    pub fn events(&self) -> PathBuf {
        self.0.join(EVENTS)
    }

    fn record(&self) -> io::Result<SessionRecord> {
        let all: WithRecord = serde_json::from_slice(&std::fs::read(self.0.join(RECORD))?)?;
        Ok(all.session)
    }

    /// What was said.
    pub fn conversation(&self) -> io::Result<Conversation> {
        let all: WithConversation = serde_json::from_slice(&std::fs::read(self.0.join(RECORD))?)?;
        Ok(all.conversation)
    }

    /// Writes both down. Without a conversation the one that is there stays.
    pub fn save(&self, record: &SessionRecord, conversation: Option<&Conversation>) -> io::Result<()> {
        let kept;
        let conversation = match conversation {
            Some(conversation) => conversation,
            None => {
                kept = self.conversation()?;
                &kept
            }
        };
        let text = serde_json::to_vec(&Written { session: record, conversation })?;
        let beside = self.0.join("session.json.partial");
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(&text)?;
        file.sync_data()?;
        std::fs::rename(&beside, self.0.join(RECORD))?;
        File::open(&self.0)?.sync_all()
    }

    /// A log that begins with the events of `log` up to `last`, byte for byte.
    pub fn copy_events(&self, log: &EventLog, last: u64) -> io::Result<EventLog> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.events())?;
        let mut reader = log.reader(0)?;
        let bytes = log.written().bytes;
        'copy: loop {
            let lines = reader.read(bytes)?;
            if lines.is_empty() {
                break;
            }
            for line in lines {
                if line.id > last {
                    break 'copy;
                }
                file.write_all(format!("{}\n", line.text).as_bytes())?;
            }
        }
        file.sync_data()?;
        Ok(EventLog::open(&self.events())?.0)
    }

    /// Bytes of all its files.
    pub fn bytes(&self) -> u64 {
        let (mut bytes, mut folders) = (0, vec![self.0.clone()]);
        while let Some(folder) = folders.pop() {
            // Files come and go meanwhile.
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                match entry.metadata() {
                    Ok(facts) if facts.is_dir() => folders.push(entry.path()),
                    Ok(facts) => bytes += facts.len(),
                    Err(_) => {}
                }
            }
        }
        bytes
    }

    /// From now on it is no session: what is left of it goes with the next start at the latest.
    pub fn forget(&self) -> io::Result<()> {
        match std::fs::remove_file(self.0.join(RECORD)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes it, or as much of it as can be.
    pub fn remove(&self) {
        let _ = self.forget();
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Whether it looks like an id of ours.
fn is_id(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
