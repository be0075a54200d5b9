//! What a snapshot knows: the tree of a workspace, with the parts that did not change shared between snapshots.

use super::dir::{Facts, Time};
use super::names::shown;
use super::store::Content;
use std::sync::Arc;

/// One folder.
#[derive(Debug)]
pub(super) struct Folder {
    pub mode: u32,
    pub modified: Time,
    /// By name.
    pub entries: Vec<(Box<[u8]>, Node)>,
}

#[derive(Debug, Clone)]
pub(super) enum Node {
    Folder(Arc<Folder>),
    File(FileNode),
    Link(Arc<LinkNode>),
    /// It is there and is left as it is; the text says why.
    Uncovered(Arc<str>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LinkNode {
    pub target: Vec<u8>,
    pub modified: Time,
}

#[derive(Debug, Clone)]
pub(super) struct FileNode {
    pub mode: u32,
    pub stamp: Stamp,
    /// Whether every later change shows in the stamp. A file that changed within a tick of the clock before it was
    /// looked at can change again without any trace.
    pub is_settled: bool,
    pub content: Arc<Content>,
}

/// What stays the same as long as a file stays the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub device: (u32, u32),
    pub inode: u64,
    pub bytes: u64,
    pub modified: Time,
    pub changed: Time,
}

impl From<&Facts> for Stamp {
    fn from(facts: &Facts) -> Stamp {
        let Facts { device, inode, bytes, modified, changed, .. } = *facts;
        Stamp { device, inode, bytes, modified, changed }
    }
}

impl Folder {
    pub fn get(&self, name: &[u8]) -> Option<&Node> {
        let index = self.entries.binary_search_by(|(other, _)| (**other).cmp(name)).ok()?;
        Some(&self.entries[index].1)
    }
}

impl Node {
    /// Whether `self` can stand for `other` in every way, so that one of them is enough.
    pub fn is_same(&self, other: &Node) -> bool {
        match (self, other) {
            (Node::Folder(one), Node::Folder(other)) => Arc::ptr_eq(one, other),
            (Node::File(one), Node::File(other)) => {
                Arc::ptr_eq(&one.content, &other.content)
                    && (one.mode, one.stamp, one.is_settled) == (other.mode, other.stamp, other.is_settled)
            }
            (Node::Link(one), Node::Link(other)) => one == other,
            (Node::Uncovered(one), Node::Uncovered(other)) => one == other,
            _ => false,
        }
    }
}

/// How an entry differs between two snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    Added,
    Changed,
    Removed,
}

/// One difference between two snapshots. A different time alone is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// As in [`Entry::path`](super::Entry::path).
    pub path: String,
    pub kind: ChangeKind,
}

/// The differences from one tree to another, up to a number.
pub(super) struct Comparison {
    pub changes: Vec<Change>,
    pub changes_max: usize,
}

impl Comparison {
    /// Returns whether there is room for more.
    pub fn folders(&mut self, before: &Arc<Folder>, after: &Arc<Folder>, path: &mut Vec<u8>) -> bool {
        if Arc::ptr_eq(before, after) {
            return true;
        }
        let (mut old, mut new) = (before.entries.iter().peekable(), after.entries.iter().peekable());
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => return true,
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some((one, _)), Some((other, _))) => one.cmp(other),
            };
            let old = if order.is_le() { old.next() } else { None };
            let new = if order.is_ge() { new.next() } else { None };
            let Some((name, _)) = old.or(new) else { return true };
            let length = path.len();
            push(path, name);
            let has_room = self.nodes(old.map(|(_, node)| node), new.map(|(_, node)| node), path);
            path.truncate(length);
            if !has_room {
                return false;
            }
        }
    }

    fn nodes(&mut self, old: Option<&Node>, new: Option<&Node>, path: &mut Vec<u8>) -> bool {
        let (kind, whole) = match (old, new) {
            (Some(old), Some(new)) => match (old, new) {
                (Node::Folder(one), Node::Folder(other)) => {
                    return (one.mode == other.mode || self.add(ChangeKind::Changed, path))
                        && self.folders(one, other, path);
                }
                (Node::File(one), Node::File(other))
                    if Arc::ptr_eq(&one.content, &other.content)
                        && one.mode == other.mode
                        && one.stamp.bytes == other.stamp.bytes =>
                {
                    return true;
                }
                (Node::Link(one), Node::Link(other)) if one.target == other.target => return true,
                (Node::Uncovered(_), Node::Uncovered(_)) => return true,
                (Node::Folder(_), _) => return self.nodes(Some(old), None, path) && self.nodes(None, Some(new), path),
                (_, Node::Folder(_)) => return self.nodes(Some(old), None, path) && self.nodes(None, Some(new), path),
                _ => (ChangeKind::Changed, None),
            },
            (Some(old), None) => (ChangeKind::Removed, Some(old)),
            (None, new) => (ChangeKind::Added, new),
        };
        if !self.add(kind, path) {
            return false;
        }
        let Some(Node::Folder(folder)) = whole else { return true };
        folder.entries.iter().all(|(name, node)| {
            let length = path.len();
            push(path, name);
            let has_room = match kind {
                ChangeKind::Removed => self.nodes(Some(node), None, path),
                _ => self.nodes(None, Some(node), path),
            };
            path.truncate(length);
            has_room
        })
    }

    fn add(&mut self, kind: ChangeKind, path: &[u8]) -> bool {
        let has_room = self.changes.len() < self.changes_max;
        if has_room {
            self.changes.push(Change { path: shown(path), kind });
        }
        has_room
    }
}

/// Go down to `name`.
pub(super) fn push(path: &mut Vec<u8>, name: &[u8]) {
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
}
