//! The workspace, taken out of a session when its turn is over: a copy that no code of the model can change any more.

use std::collections::BTreeMap;
use std::sync::Arc;

use codeact_sandbox::{EntryKind, FileError, Files};

/// Files and folders that are looked at.
const ENTRIES_MAX: usize = 20_000;
/// Bytes of all files together.
const BYTES_MAX: u64 = 128 << 20;
/// Folders within folders.
const DEPTH_MAX: usize = 64;

/// Something in a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    /// A regular file.
    File(Arc<[u8]>),
    /// A folder.
    Folder,
    /// What cannot be read, and why: a link, a FIFO, a file that kept changing.
    Unreadable(String),
}

/// What is in a workspace, by path. Paths are as [`codeact_sandbox::FileEntry`] shows them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tree {
    nodes: BTreeMap<String, Node>,
    /// Why there is more than this.
    is_cut: Option<String>,
}

impl Tree {
    /// Everything that is there.
    pub fn of(files: &Files) -> Tree {
        let mut tree = Tree::default();
        let mut left = BYTES_MAX;
        if let Err(reason) = tree.add(files, "", 0, &mut left) {
            tree.is_cut = Some(reason);
        }
        tree
    }

    fn add(&mut self, files: &Files, folder: &str, depth: usize, left: &mut u64) -> Result<(), String> {
        if depth > DEPTH_MAX {
            return Err(format!("the workspace has more than {DEPTH_MAX} folders within folders"));
        }
        let room = ENTRIES_MAX.saturating_sub(self.nodes.len());
        let listing = match files.list(folder, room) {
            Ok(listing) => listing,
            // Whatever is in it is there all the same.
            Err(error) => return Err(format!("`{folder}` of the workspace cannot be listed: {}", line(&error))),
        };
        if listing.is_cut {
            return Err(format!("the workspace has more than {ENTRIES_MAX} files"));
        }
        for entry in listing.entries {
            let node = match entry.kind {
                EntryKind::Folder => Node::Folder,
                EntryKind::Link => Node::Unreadable("it is a symbolic link, which is not followed".to_owned()),
                EntryKind::Other => Node::Unreadable("it is no regular file".to_owned()),
                EntryKind::File if entry.bytes > *left => {
                    return Err(format!("the files of the workspace have more than {BYTES_MAX} bytes"));
                }
                EntryKind::File => match files.read(&entry.path, *left) {
                    Ok(bytes) => {
                        *left -= bytes.len() as u64;
                        Node::File(bytes.into())
                    }
                    Err(error) => Node::Unreadable(line(&error)),
                },
            };
            let is_folder = node == Node::Folder;
            self.nodes.insert(entry.path.clone(), node);
            if is_folder {
                self.add(files, &entry.path, depth + 1, left)?;
            }
        }
        Ok(())
    }

    /// Why this is not all of the workspace.
    pub fn is_cut(&self) -> Option<&str> {
        self.is_cut.as_deref()
    }

    /// What is at `path`.
    pub fn get(&self, path: &str) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// Whether nothing is at `path`; the error says why nobody knows.
    pub fn is_absent(&self, path: &str) -> Result<bool, String> {
        let above = path.match_indices('/').map(|(end, _)| &path[..end]);
        for folder in above {
            if let Some(Node::Unreadable(reason)) = self.get(folder) {
                return Err(format!("what is below `{folder}` cannot be seen: {reason}"));
            }
        }
        Ok(self.get(path).is_none())
    }

    /// All of it, by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.nodes.iter().map(|(path, node)| (path.as_str(), node))
    }

    /// The bytes of the file at `path`; the error says why there are none.
    pub fn read(&self, path: &str) -> Result<&Arc<[u8]>, String> {
        match self.get(path) {
            Some(Node::File(bytes)) => Ok(bytes),
            Some(Node::Folder) => Err(format!("`{path}` is a folder")),
            Some(Node::Unreadable(reason)) => Err(format!("`{path}` cannot be read: {reason}")),
            None => Err(format!("there is no `{path}`")),
        }
    }
}

/// Without the way out, which is for people who use files.
fn line(error: &FileError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}
