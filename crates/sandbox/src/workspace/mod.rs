//! The folder that cells work in, as the host touches it: files in and out, and snapshots for undo.
//!
//! Everything in that folder is written by code that nobody trusts and that runs at the same time. So the host never
//! follows a name from outside: each operation starts at a descriptor of the folder, the kernel refuses symbolic
//! links, other mounts and anything above (`openat2`), special files are never opened, every amount is bounded, and a
//! privileged host takes on the identity of the session's user for each access ([`Actor`](dir::Actor)).
//!
//! What snapshots do not see, by design: a program that changes a file through a writable memory mapping need not
//! change its times, so such a change can be missed; extended attributes, access control lists, foreign owners and
//! the fact that two names are links to one file are not recorded; FIFOs, sockets and devices are left out.

mod names; // read first: which names are accepted, and how names are shown

mod error; // what can go wrong, in words

mod dir; // one open folder: the only place that opens anything in a workspace

mod remove; // take away a whole tree, however deep

mod files; // the public way in and out

mod manifest; // what a snapshot knows of the tree

mod store; // copies of file contents

mod scan; // what is there now, and what differs

mod restore; // put a tree back

mod snapshot; // take, restore, compare

pub use dir::Owner;
pub use error::FileError;
pub(crate) use error::SnapshotError;
pub use files::{Entry, EntryKind, Files, Listing};
pub(crate) use restore::Restored as RestoredFiles;
pub(crate) use snapshot::{Id as SnapshotId, SnapshotLimits, Snapshots};

/// Remove the folder at `path`, however deep it is and whatever its modes are.
///
/// # Errors
/// When something in it cannot be removed, or more comes than goes.
pub(crate) fn remove_tree(path: &std::path::Path) -> std::io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(std::io::ErrorKind::InvalidInput.into());
    };
    let parent = dir::Dir::new(std::fs::File::open(parent)?.into(), dir::Actor(None));
    remove::remove(&parent, name.as_bytes(), &mut 10_000_000)
}

#[cfg(test)]
mod tests;
