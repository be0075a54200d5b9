//! Snapshots of a workspace: take one, put one back, compare two.
//!
//! A file whose inode, size and both times are as they were, and were old enough when it was looked at, is taken as
//! unchanged without being read: see the [module](super) for what that leaves out.

use super::dir::{Actor, Dir, Owner, TO_CHANGE, TO_LOOK};
use super::error::SnapshotError;
use super::manifest::{Change, Comparison, Folder, Node, push};
use super::names::shown;
use super::restore::{Restore, Restored};
use super::scan::{Keep, Scan, ScanError};
use super::store::Store;
use std::collections::{BTreeMap, HashMap};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

/// Names one snapshot. Later ones are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id(u64);

/// What snapshots may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SnapshotLimits {
    /// Of all copies together.
    pub bytes_max: u64,
    /// Files, folders and links of one workspace.
    pub files_max: u64,
}

/// The snapshots of one workspace.
#[derive(Debug)]
pub(crate) struct Snapshots {
    root: Dir,
    store: Arc<Store>,
    files_max: u64,
    taken: BTreeMap<Id, Arc<Folder>>,
    /// The one that is most like the workspace now.
    nearest: Option<Id>,
    next_number: u64,
}

impl Snapshots {
    /// `root` is open on the workspace, `owner` as for [`Files`](super::Files), and `store` is a folder for the copies
    /// that nobody else uses.
    pub(crate) fn new(
        root: OwnedFd,
        owner: Option<Owner>,
        store: &Path,
        limits: SnapshotLimits,
    ) -> Result<Snapshots, SnapshotError> {
        Ok(Snapshots {
            root: Dir::new(root, Actor(owner)),
            store: Arc::new(Store::new(store, limits.bytes_max).map_err(SnapshotError::Store)?),
            files_max: limits.files_max,
            taken: BTreeMap::new(),
            nearest: None,
            next_number: 0,
        })
    }

    /// Record the workspace as it is.
    pub(crate) fn take(&mut self) -> Result<Id, SnapshotError> {
        let nearest = self.nearest.or_else(|| self.taken.last_key_value().map(|(id, _)| *id));
        let base = nearest.and_then(|id| self.taken.get(&id));
        let (opened, mode) = self.root.folder_forced(b".", TO_LOOK).map_err(SnapshotError::Workspace)?;
        let result = self.look_and_keep(&opened, mode, base);
        if mode & TO_LOOK != TO_LOOK {
            opened.set_mode(opened.fd(), mode).map_err(SnapshotError::Workspace)?;
        }
        let root = result?;
        let id = Id(self.next_number);
        self.next_number += 1;
        self.taken.insert(id, root);
        self.nearest = Some(id);
        Ok(id)
    }

    fn look_and_keep(&self, root: &Dir, mode: u32, base: Option<&Arc<Folder>>) -> Result<Arc<Folder>, SnapshotError> {
        let mut scan = Scan { files_left: self.files_max, files_max: self.files_max, pending_bytes: 0 };
        let draft = {
            // One act for all of it. The copies below are made as the host itself.
            let _acting = self.root.actor.act().map_err(SnapshotError::Workspace)?;
            scan.folder(root, mode, base.map(|base| &**base), 0).map_err(|error| match error {
                ScanError::System(error) => SnapshotError::Workspace(error),
                ScanError::Over(error) => error,
            })?
        };
        let limit = self.store.bytes_max();
        if self.bytes().saturating_add(scan.pending_bytes) > limit {
            return Err(SnapshotError::TooLarge { unit: "bytes to keep", limit });
        }
        Keep { root: &self.root, store: &self.store, linked: HashMap::new() }.folder(draft, base, &mut Vec::new())
    }

    /// Put the workspace back to what it was at `id`.
    pub(crate) fn restore(&mut self, id: Id) -> Result<Restored, SnapshotError> {
        let target = Arc::clone(self.taken.get(&id).ok_or(SnapshotError::Forgotten)?);
        let (root, mode) = self.root.folder_forced(b".", TO_CHANGE).map_err(SnapshotError::Workspace)?;
        let mut restore = Restore::new();
        restore.clear(&root, &target, &mut Vec::new());
        let now = restore.fill(&root, mode, &target, &mut Vec::new());
        self.taken.insert(id, now);
        self.nearest = Some(id);
        Ok(restore.finish())
    }

    /// The same state under another name, to be given up on its own.
    pub(crate) fn copy(&mut self, id: Id) -> Option<Id> {
        let root = Arc::clone(self.taken.get(&id)?);
        let copy = Id(self.next_number);
        self.next_number += 1;
        self.taken.insert(copy, root);
        Some(copy)
    }

    /// Make the workspace of `other` what this one was at `id`.
    pub(crate) fn restore_into(&self, id: Id, other: &Snapshots) -> Result<Restored, SnapshotError> {
        let target = Arc::clone(self.taken.get(&id).ok_or(SnapshotError::Forgotten)?);
        let (root, mode) = other.root.folder_forced(b".", TO_CHANGE).map_err(SnapshotError::Workspace)?;
        let mut restore = Restore::new();
        restore.clear(&root, &target, &mut Vec::new());
        restore.fill(&root, mode, &target, &mut Vec::new());
        Ok(restore.finish())
    }

    /// Give up `id` and the copies that no other snapshot needs.
    pub(crate) fn forget(&mut self, id: Id) {
        self.taken.remove(&id);
        self.nearest = self.nearest.filter(|nearest| *nearest != id);
    }

    /// What all copies take together.
    pub(crate) fn bytes(&self) -> u64 {
        self.store.bytes()
    }

    /// Whether two snapshots hold the same files, whatever their times. False if one has been forgotten.
    #[cfg(test)]
    pub(crate) fn same(&self, one: Id, other: Id) -> bool {
        self.changes(one, other, 1).is_ok_and(|changes| changes.is_empty())
    }

    /// What differs from `before` to `after`, at most `changes_max` of it.
    pub(crate) fn changes(&self, before: Id, after: Id, changes_max: usize) -> Result<Vec<Change>, SnapshotError> {
        let before = self.taken.get(&before).ok_or(SnapshotError::Forgotten)?;
        let after = self.taken.get(&after).ok_or(SnapshotError::Forgotten)?;
        let mut comparison = Comparison { changes: Vec::new(), changes_max };
        comparison.folders(before, after, &mut Vec::new());
        Ok(comparison.changes)
    }

    /// What is in the workspace at `id` without being kept, each with the reason; at most `paths_max` of it.
    pub(crate) fn uncovered(&self, id: Id, paths_max: usize) -> Result<Vec<String>, SnapshotError> {
        let mut found = Vec::new();
        find_uncovered(self.taken.get(&id).ok_or(SnapshotError::Forgotten)?, &mut Vec::new(), &mut found, paths_max);
        Ok(found)
    }
}

fn find_uncovered(folder: &Folder, path: &mut Vec<u8>, found: &mut Vec<String>, paths_max: usize) {
    for (name, node) in &folder.entries {
        let length = path.len();
        push(path, name);
        match node {
            Node::Folder(inner) => find_uncovered(inner, path, found, paths_max),
            Node::Uncovered(reason) if found.len() < paths_max => found.push(format!("`{}`: {reason}", shown(path))),
            _ => {}
        }
        path.truncate(length);
    }
}
