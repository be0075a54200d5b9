//! Put a workspace back to a snapshot, in place: folders stay the same folders, so that a process may stay in them.
//!
//! First everything goes that was not there, which also makes room; then what differs is written. Code that runs
//! meanwhile can spoil the result, and nothing else: every step is one name in one open folder.

use super::dir::{Dir, TO_CHANGE, Time, facts_of};
use super::manifest::{FileNode, Folder, LinkNode, Node, Stamp, push};
use super::names::shown;
use super::remove::remove;
use rustix::fs::{FileType, OFlags};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

const FAILED_MAX: usize = 100;
/// Names removed at most by one restore.
const REMOVED_MAX: u64 = 10_000_000;

/// What a restore did.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Restored {
    /// Entries written or changed.
    pub written: u64,
    /// Names removed, counting a folder with all that was in it as many times as it has names.
    pub removed: u64,
    /// Paths that are not as they were, each with the reason; cut after the first hundred.
    pub failed: Vec<String>,
}

/// One restore.
pub(super) struct Restore {
    pub restored: Restored,
    left: u64,
}

impl Restore {
    pub fn new() -> Restore {
        Restore { restored: Restored::default(), left: REMOVED_MAX }
    }

    /// How many names were removed.
    pub fn finish(mut self) -> Restored {
        self.restored.removed = REMOVED_MAX - self.left;
        self.restored
    }

    /// Remove from `folder` what `target` does not have, or has as something else.
    pub fn clear(&mut self, folder: &Dir, target: &Folder, path: &mut Vec<u8>) {
        // One act for all of it, if it works; else every step reports why not.
        let _acting = folder.actor.act();
        let each = |name: &[u8]| {
            let length = path.len();
            push(path, name);
            let result = self.clear_entry(folder, name, target.get(name), path);
            self.note(result, path);
            path.truncate(length);
            Ok(true)
        };
        let result = folder.each_name(each);
        self.note(result, path);
    }

    fn clear_entry(&mut self, folder: &Dir, name: &[u8], wanted: Option<&Node>, path: &mut Vec<u8>) -> io::Result<()> {
        let kind = match folder.facts(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            facts => facts?.kind,
        };
        match wanted {
            Some(Node::Uncovered(_)) => Ok(()),
            Some(Node::Folder(wanted)) if kind == FileType::Directory => {
                let (inner, mode) = folder.folder_forced(name, TO_CHANGE)?;
                self.clear(&inner, wanted, path);
                // The second pass finds out whether the mode is wrong, so it must see it.
                if facts_of(inner.fd())?.mode != mode { inner.set_mode(inner.fd(), mode) } else { Ok(()) }
            }
            Some(Node::File(_) | Node::Link(_)) if kind != FileType::Directory => Ok(()),
            _ => remove(folder, name, &mut self.left),
        }
    }

    /// Write what `folder`, which had `mode`, lacks. Returns `target` with the files as they are now.
    pub fn fill(&mut self, folder: &Dir, mode: u32, target: &Arc<Folder>, path: &mut Vec<u8>) -> Arc<Folder> {
        let mut entries = Vec::with_capacity(target.entries.len());
        let mut is_same = true;
        for (name, node) in &target.entries {
            let length = path.len();
            push(path, name);
            let now = match self.fill_entry(folder, name, node, path) {
                Ok(Some(now)) => {
                    is_same = false;
                    now
                }
                Ok(None) => node.clone(),
                Err(error) => {
                    self.note(Err(error), path);
                    node.clone()
                }
            };
            path.truncate(length);
            entries.push((name.clone(), now));
        }
        // Its time has changed with each name in it, which is no news.
        let result = settle(folder, folder.fd(), target.mode, target.modified);
        self.restored.written += u64::from(mode != target.mode);
        self.note(result.map(drop), path);
        if is_same {
            Arc::clone(target)
        } else {
            Arc::new(Folder { entries, mode: target.mode, modified: target.modified })
        }
    }

    /// The node for what is there now, if that is another.
    fn fill_entry(&mut self, folder: &Dir, name: &[u8], node: &Node, path: &mut Vec<u8>) -> io::Result<Option<Node>> {
        match node {
            Node::Folder(target) => {
                let is_new = match folder.make_folder(name, TO_CHANGE) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
                    result => result.map(|()| true)?,
                };
                self.restored.written += u64::from(is_new);
                let (inner, mode) = folder.folder_forced(name, TO_CHANGE)?;
                let now = self.fill(&inner, if is_new { target.mode } else { mode }, target, path);
                Ok((!Arc::ptr_eq(&now, target)).then_some(Node::Folder(now)))
            }
            Node::File(file) => self.file(folder, name, file),
            Node::Link(link) => self.link(folder, name, link).map(|()| None),
            Node::Uncovered(reason) => match folder.facts(name) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    Err(io::Error::other(format!("it is gone, and was not kept: {reason}")))
                }
                _ => Ok(None),
            },
        }
    }

    fn file(&mut self, folder: &Dir, name: &[u8], wanted: &FileNode) -> io::Result<Option<Node>> {
        let found = folder.facts(name).ok().filter(|facts| facts.kind == FileType::RegularFile);
        if let Some(found) = &found {
            if wanted.is_settled && Stamp::from(found) == wanted.stamp {
                return Ok(None);
            }
            // Its time or mode may be all that differs.
            if let Ok((file, facts)) = folder.readable_forced(name)
                && facts.bytes == wanted.stamp.bytes
                && !facts.is_shared(folder.actor)
                && wanted.content.matches(&file, facts.bytes)?
            {
                let had_other = settle(folder, file.as_fd(), wanted.mode, wanted.stamp.modified)?;
                self.restored.written += u64::from(had_other);
                return now(&file, wanted);
            }
        }
        // The same file where that can be: SQLite, for one, looks whether the one it has open is still in its place.
        if found.is_some()
            && let Ok(Some(file)) = rewrite(folder, name, wanted)
        {
            self.restored.written += 1;
            return now(&file, wanted);
        }
        let file = match replace(folder, name, wanted) {
            // The old and the new one together may be too much.
            Err(error) if is_full(&error) && found.is_some() => {
                folder.unlink(name)?;
                replace(folder, name, wanted)?
            }
            result => result?,
        };
        self.restored.written += 1;
        now(&file, wanted)
    }

    fn link(&mut self, folder: &Dir, name: &[u8], wanted: &LinkNode) -> io::Result<()> {
        let found = folder.facts(name).ok().filter(|facts| facts.kind == FileType::Symlink);
        if found.is_none() || folder.link_target(name)? != wanted.target {
            let made = super::dir::fresh_name()?;
            folder.make_link(&wanted.target, &made)?;
            put(folder, &made, name)?;
        } else if found.is_some_and(|found| found.modified == wanted.modified) {
            return Ok(());
        }
        self.restored.written += 1;
        folder.set_link_modified(name, wanted.modified)
    }

    fn note(&mut self, result: io::Result<()>, path: &[u8]) {
        if let Err(error) = result {
            match self.restored.failed.len() {
                0..FAILED_MAX => self.restored.failed.push(format!("`{}`: {error}", shown(path))),
                FAILED_MAX => self.restored.failed.push("more that is not listed".to_string()),
                _ => {}
            }
        }
    }
}

/// Give what `fd` is open on the mode and time it should have. Returns whether it had others.
fn settle(at: &Dir, fd: BorrowedFd<'_>, mode: u32, modified: Time) -> io::Result<bool> {
    let found = facts_of(fd)?;
    if found.modified != modified {
        at.set_modified(fd, modified)?;
    }
    if found.mode != mode {
        at.set_mode(fd, mode)?;
    }
    Ok(found.modified != modified || found.mode != mode)
}

/// Write `wanted` into the file that is there, unless it has other names, which may lie outside of the workspace.
fn rewrite(folder: &Dir, name: &[u8], wanted: &FileNode) -> io::Result<Option<File>> {
    let file = File::from(folder.open(name, OFlags::WRONLY, 0)?);
    let facts = facts_of(file.as_fd())?;
    if facts.kind != FileType::RegularFile || facts.links != 1 {
        return Ok(None);
    }
    file.set_len(0)?;
    wanted.content.write_to(&file, wanted.stamp.bytes)?;
    folder.set_mode(file.as_fd(), wanted.mode)?;
    folder.set_modified(file.as_fd(), wanted.stamp.modified)?;
    Ok(Some(file))
}

/// Write `wanted` under a name of its own, then put it in place.
fn replace(folder: &Dir, name: &[u8], wanted: &FileNode) -> io::Result<File> {
    let (unfinished, file) = folder.create(0o600)?;
    let result = wanted.content.write_to(&file, wanted.stamp.bytes).and_then(|()| {
        folder.set_mode(file.as_fd(), wanted.mode)?;
        folder.set_modified(file.as_fd(), wanted.stamp.modified)?;
        put(folder, &unfinished, name)
    });
    match result {
        Ok(()) => Ok(file),
        Err(error) => {
            // It may be gone already.
            let _ = folder.unlink(&unfinished);
            Err(error)
        }
    }
}

fn put(folder: &Dir, made: &[u8], name: &[u8]) -> io::Result<()> {
    folder.rename(made, folder, name).inspect_err(|_| {
        // What was made is of no use then.
        let _ = folder.unlink(made);
    })
}

fn now(file: &File, wanted: &FileNode) -> io::Result<Option<Node>> {
    let stamp = Stamp::from(&facts_of(file.as_fd())?);
    // Its time of change is now, so the next look compares its content.
    Ok(Some(Node::File(FileNode { stamp, is_settled: false, ..wanted.clone() })))
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
