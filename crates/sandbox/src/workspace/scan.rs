//! What is in a workspace now, and which of it differs from an earlier snapshot.
//!
//! Two passes: the first only looks, so that a workspace over a limit is refused before anything is copied.

use super::dir::{Dir, Facts, TO_LOOK, Time, facts_of, kind_name};
use super::error::SnapshotError;
use super::manifest::{FileNode, Folder, LinkNode, Node, Stamp, push};
use super::names::PATH_BYTES_MAX;
use super::store::{Content, KeepError, Store};
use rustix::fs::FileType;
use rustix::io::Errno;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Folders within folders; also what bounds the descriptors and the stack that one snapshot takes.
pub(super) const DEPTH_MAX: usize = 64;
/// Kernels stamp files with a clock that ticks up to every 10 ms; some file systems count whole seconds.
const TICK: Duration = Duration::from_millis(25);
const TICK_OF_SECONDS: Duration = Duration::from_secs(3);
const COPIES_MAX: usize = 3;

/// A folder as the first pass sees it.
pub(super) struct Draft {
    mode: u32,
    modified: Time,
    entries: Vec<(Box<[u8]>, DraftNode)>,
    /// Whether a file in it or below it is pending.
    is_pending: bool,
}

enum DraftNode {
    Known(Node),
    /// A file that is new or may have changed.
    Pending,
    Folder(Draft),
}

/// The first pass.
pub(super) struct Scan {
    pub files_left: u64,
    pub files_max: u64,
    /// What the pending files will take at least.
    pub pending_bytes: u64,
}

impl Scan {
    /// Look at `folder`, which was opened and had `mode`.
    pub fn folder(&mut self, folder: &Dir, mode: u32, base: Option<&Folder>, depth: usize) -> Result<Draft, ScanError> {
        let modified = facts_of(folder.fd())?.modified;
        let mut names: Vec<Box<[u8]>> = Vec::new();
        let each = |name: &[u8]| {
            self.files_left = self.files_left.checked_sub(1).ok_or(Errno::OVERFLOW)?;
            names.push(name.into());
            Ok(true)
        };
        folder.each_name(each).map_err(|error| match error.raw_os_error() {
            Some(code) if code == Errno::OVERFLOW.raw_os_error() => self.too_many(),
            _ => ScanError::System(error),
        })?;
        names.sort_unstable();
        names.dedup();
        let mut entries = Vec::with_capacity(names.len());
        for name in names {
            let known = base.and_then(|base| base.get(&name));
            match self.entry(folder, &name, known, depth) {
                Ok(node) => entries.push((name, node)),
                // Gone since.
                Err(ScanError::System(error)) if error.kind() == io::ErrorKind::NotFound => {}
                Err(ScanError::System(error)) => entries.push((name, uncovered(&error.to_string()))),
                Err(over) => return Err(over),
            }
        }
        let is_pending = entries.iter().any(|(_, node)| match node {
            DraftNode::Pending => true,
            DraftNode::Folder(inner) => inner.is_pending,
            DraftNode::Known(_) => false,
        });
        Ok(Draft { mode, modified, entries, is_pending })
    }

    fn entry(&mut self, parent: &Dir, name: &[u8], known: Option<&Node>, depth: usize) -> Result<DraftNode, ScanError> {
        let facts = parent.facts(name)?;
        match facts.kind {
            FileType::RegularFile => {
                if let Some(Node::File(file)) = known
                    && file.is_settled
                    && file.stamp == Stamp::from(&facts)
                {
                    return Ok(DraftNode::Known(Node::File(file.clone())));
                }
                // A file of the same size may turn out to be the same, and a second link to a file costs nothing.
                let may_be_free = matches!(known, Some(Node::File(file)) if file.stamp.bytes == facts.bytes);
                if !may_be_free && facts.links == 1 {
                    self.pending_bytes = self.pending_bytes.saturating_add(facts.blocks_bytes.min(facts.bytes));
                }
                Ok(DraftNode::Pending)
            }
            FileType::Directory if depth == DEPTH_MAX => Ok(uncovered("it is too deep")),
            FileType::Directory => {
                let (folder, mode) = parent.folder_forced(name, TO_LOOK)?;
                let base = if let Some(Node::Folder(base)) = known { Some(&**base) } else { None };
                let draft = self.folder(&folder, mode, base, depth + 1);
                if facts_of(folder.fd())?.mode != mode {
                    folder.set_mode(folder.fd(), mode)?;
                }
                Ok(DraftNode::Folder(draft?))
            }
            FileType::Symlink => {
                let link = LinkNode { target: parent.link_target(name)?, modified: facts.modified };
                Ok(DraftNode::Known(Node::Link(Arc::new(link))))
            }
            other => Ok(uncovered(&format!("it is {}", kind_name(other)))),
        }
    }

    fn too_many(&self) -> ScanError {
        ScanError::Over(SnapshotError::TooLarge { unit: "files", limit: self.files_max })
    }
}

/// What ends a look at a folder.
pub(super) enum ScanError {
    /// This folder cannot be read.
    System(io::Error),
    /// The whole snapshot ends.
    Over(SnapshotError),
}

impl From<io::Error> for ScanError {
    fn from(error: io::Error) -> ScanError {
        ScanError::System(error)
    }
}

fn uncovered(reason: &str) -> DraftNode {
    DraftNode::Known(Node::Uncovered(reason.into()))
}

/// The second pass: copy what is pending.
pub(super) struct Keep<'a> {
    pub root: &'a Dir,
    pub store: &'a Arc<Store>,
    /// Contents of files with several names.
    pub linked: HashMap<(u32, u32, u64), (Stamp, Arc<Content>)>,
}

impl Keep<'_> {
    /// Finish `draft`, which is at `path`. What equals `base` in every way becomes `base`.
    pub fn folder(
        &mut self,
        draft: Draft,
        base: Option<&Arc<Folder>>,
        path: &mut Vec<u8>,
    ) -> Result<Arc<Folder>, SnapshotError> {
        let mut entries = Vec::with_capacity(draft.entries.len());
        for (name, node) in draft.entries {
            let known = base.and_then(|base| base.get(&name));
            let length = path.len();
            push(path, &name);
            let node = match node {
                DraftNode::Known(node) => Some(node),
                DraftNode::Folder(inner) => {
                    let base = if let Some(Node::Folder(base)) = known { Some(base) } else { None };
                    Some(Node::Folder(self.inner(inner, base, path)?))
                }
                DraftNode::Pending => {
                    self.file(path, if let Some(Node::File(base)) = known { Some(base) } else { None })?
                }
            };
            path.truncate(length);
            entries.extend(node.map(|node| (name, node)));
        }
        let folder = Folder { mode: draft.mode, modified: draft.modified, entries };
        Ok(match base {
            Some(base) if is_same(&folder, base) => Arc::clone(base),
            _ => Arc::new(folder),
        })
    }

    /// As [`Keep::folder`], for a folder that may have to be opened up for a moment.
    fn inner(
        &mut self,
        draft: Draft,
        base: Option<&Arc<Folder>>,
        path: &mut Vec<u8>,
    ) -> Result<Arc<Folder>, SnapshotError> {
        if !draft.is_pending || draft.mode & TO_LOOK == TO_LOOK {
            return self.folder(draft, base, path);
        }
        // If this fails, so will its files, each with the reason.
        let opened = self.root.folder_forced(path, TO_LOOK);
        let result = self.folder(draft, base, path);
        if let Ok((opened, mode)) = opened {
            // It was changed a moment ago, so this cannot fail but by a change of its owner.
            let _ = opened.set_mode(opened.fd(), mode);
        }
        result
    }

    /// `None` when it has gone.
    fn file(&mut self, path: &[u8], base: Option<&FileNode>) -> Result<Option<Node>, SnapshotError> {
        if path.len() > PATH_BYTES_MAX {
            return Ok(Some(Node::Uncovered("its path is too long".into())));
        }
        for attempt in 1..=COPIES_MAX {
            match self.attempt(path, base) {
                Ok((node, is_still)) if is_still || attempt == COPIES_MAX => return Ok(Some(node)),
                Ok(_) => {}
                Err(KeepError::TooLarge) => {
                    return Err(SnapshotError::TooLarge { unit: "bytes to keep", limit: self.store.bytes_max() });
                }
                Err(KeepError::Store(error)) => return Err(SnapshotError::Store(error)),
                Err(KeepError::Source(error)) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(KeepError::Source(error)) => return Ok(Some(Node::Uncovered(error.to_string().into()))),
            }
        }
        Ok(None)
    }

    /// Also returns whether the file kept still.
    fn attempt(&mut self, path: &[u8], base: Option<&FileNode>) -> Result<(Node, bool), KeepError> {
        let (file, before) = self.root.readable_forced(path).map_err(KeepError::Source)?;
        if before.is_shared(self.root.actor) {
            return Ok((Node::Uncovered("it is a second name of a file of another user".into()), true));
        }
        let started = SystemTime::now();
        let stamp = Stamp::from(&before);
        let key = (before.device.0, before.device.1, before.inode);
        let linked = self.linked.get(&key).filter(|(seen, _)| *seen == stamp).map(|(_, content)| Arc::clone(content));
        let content = match linked {
            Some(content) => content,
            None => self.content(&file, &before, base)?,
        };
        let after = facts_of(file.as_fd()).map_err(KeepError::Source)?;
        let is_still = Stamp::from(&after) == stamp;
        if before.links > 1 && is_still {
            self.linked.insert(key, (stamp, Arc::clone(&content)));
        }
        let is_settled = is_still && is_settled(before.changed, started);
        // A set-user-id bit means something for its owner only, and what is restored belongs to the session's user.
        let mode = if before.uid == self.root.actor.uid() { before.mode } else { before.mode & 0o777 };
        Ok((Node::File(FileNode { mode, stamp, is_settled, content }), is_still))
    }

    fn content(&self, file: &File, facts: &Facts, base: Option<&FileNode>) -> Result<Arc<Content>, KeepError> {
        if let Some(base) = base.filter(|base| base.stamp.bytes == facts.bytes)
            && base.content.matches(file, facts.bytes).map_err(KeepError::Source)?
        {
            return Ok(Arc::clone(&base.content));
        }
        self.store.keep(file, facts.bytes).map(Arc::new)
    }
}

fn is_same(one: &Folder, other: &Folder) -> bool {
    (one.mode, one.modified, one.entries.len()) == (other.mode, other.modified, other.entries.len())
        && one
            .entries
            .iter()
            .zip(&other.entries)
            .all(|((name, node), (other_name, other_node))| name == other_name && node.is_same(other_node))
}

/// Whether a file that was last changed at `changed` cannot have changed unseen since it was looked at.
pub(super) fn is_settled((seconds, nanoseconds): Time, looked: SystemTime) -> bool {
    let tick = if nanoseconds == 0 { TICK_OF_SECONDS } else { TICK };
    let Ok(seconds) = u64::try_from(seconds) else { return true };
    looked
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|looked| looked.checked_sub(Duration::new(seconds, nanoseconds)))
        .is_some_and(|age| age > tick)
}
