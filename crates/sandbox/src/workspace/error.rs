//! What can go wrong with the files of a workspace: each error says which path, why, and the way out.

use super::names::printable;
use rustix::io::Errno;
use std::io;

/// Why a file of a workspace was not listed, read, written or removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The path as given cannot name anything in a workspace.
    #[error("`{path}` cannot be a path in the workspace: {reason}\nhint: a path looks like `data/table.csv`")]
    Path {
        /// As given.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// There is nothing of this name.
    #[error("there is no `{path}` in the workspace\nhint: list the folder to see what is there")]
    Missing {
        /// The path.
        path: String,
    },
    /// It is there and is not a regular file.
    #[error("`{path}` is {kind}, not a regular file\nhint: only regular files can be read and written")]
    NotAFile {
        /// The path.
        path: String,
        /// What it is.
        kind: &'static str,
    },
    /// A folder is needed here.
    #[error("`{path}` is not a folder, or passes through something that is not\nhint: list the folder above it")]
    NotAFolder {
        /// The path.
        path: String,
    },
    /// Links are never followed: they could lead out of the workspace, and change at any moment.
    #[error("`{path}` is or passes through a symbolic link, which is not followed\nhint: name the file itself")]
    Link {
        /// The path.
        path: String,
    },
    /// Another file system is mounted inside the workspace.
    #[error("`{path}` leaves the file system of the workspace\nhint: copy it into the workspace itself")]
    OtherMount {
        /// The path.
        path: String,
    },
    /// A hard link to a file that is not the session's own.
    #[error(
        "`{path}` is a second name of a file of another user, so it may not belong to the workspace\nhint: copy it"
    )]
    Shared {
        /// The path.
        path: String,
    },
    /// More than the caller allows.
    #[error("`{path}` has {bytes} bytes, more than the limit of {bytes_max}\nhint: split it, or raise the limit")]
    TooLarge {
        /// The path.
        path: String,
        /// Its size, or for a content of unknown size what was read of it.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// It did not keep still.
    #[error("`{path}` changes while it is read\nhint: wait until the program that writes it is done, or copy it first")]
    Changed {
        /// The path.
        path: String,
    },
    /// Another process holds a lease on it.
    #[error("`{path}` is locked by a program in the session\nhint: end that program, or copy the file first")]
    Busy {
        /// The path.
        path: String,
    },
    /// Permissions refuse it.
    #[error("permission denied for `{path}`\nhint: change its mode in the session: `os.chmod(path, 0o644)`")]
    Denied {
        /// The path.
        path: String,
    },
    /// No space or no inodes.
    #[error("no space is left in the workspace for `{path}`\nhint: remove files from the workspace")]
    Full {
        /// The path.
        path: String,
    },
    /// A quota of the host.
    #[error("a disk quota is used up, so `{path}` cannot be written\nhint: remove files, or raise the quota")]
    Quota {
        /// The path.
        path: String,
    },
    /// Nothing safe can be done here.
    #[error(
        "this host refuses openat2, without which no file of a workspace can be opened safely\n\
         hint: use Linux 5.6 or newer, and a container runtime whose seccomp profile allows openat2"
    )]
    Unsupported,
    /// Reading the new content failed, not writing it.
    #[error("the content for `{path}` could not be read")]
    Content {
        /// The path.
        path: String,
        /// The reason.
        source: io::Error,
    },
    /// Anything else.
    #[error("{action} `{path}` failed")]
    System {
        /// What was tried.
        action: &'static str,
        /// The path.
        path: String,
        /// The reason.
        source: io::Error,
    },
}

impl FileError {
    /// The error for what a system call on `path` ended in.
    pub(super) fn of(action: &'static str, path: &str, source: io::Error) -> FileError {
        let path = printable(path);
        match source.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::NOENT) => FileError::Missing { path },
            Some(Errno::NOTDIR) => FileError::NotAFolder { path },
            Some(Errno::ISDIR) => FileError::NotAFile { path, kind: "a folder" },
            // Opening a socket, or a device without a driver.
            Some(Errno::NXIO) => FileError::NotAFile { path, kind: "a special file" },
            Some(Errno::LOOP) => FileError::Link { path },
            Some(Errno::XDEV) => FileError::OtherMount { path },
            Some(Errno::AGAIN | Errno::TXTBSY) => FileError::Busy { path },
            Some(Errno::ACCESS) => FileError::Denied { path },
            Some(Errno::NOSPC) => FileError::Full { path },
            Some(Errno::DQUOT) => FileError::Quota { path },
            Some(Errno::NOSYS) => FileError::Unsupported,
            _ => FileError::System { action, path, source },
        }
    }
}

/// Why a snapshot was not taken or restored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SnapshotError {
    /// Over a limit: the files of this state cannot be undone.
    #[error("the workspace has more than {limit} {unit}, so its files cannot be undone")]
    TooLarge {
        /// "files" or "bytes to keep".
        unit: &'static str,
        /// The limit.
        limit: u64,
    },
    /// The folder for the copies failed.
    #[error("keeping copies of the files of the workspace failed")]
    Store(#[source] io::Error),
    /// The workspace itself cannot be opened.
    #[error("the workspace cannot be opened")]
    Workspace(#[source] io::Error),
    /// There is no such snapshot any more.
    #[error("this snapshot of the workspace has been forgotten")]
    Forgotten,
}
