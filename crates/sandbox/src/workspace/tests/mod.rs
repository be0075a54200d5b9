//! Tests against a workspace whose owner is hostile: names, files, snapshots, races, file systems.
//!
//! As root they run with an owner other than root, as a privileged host does; else the host is the owner itself.

mod filesystems; // a full one, and one of a user namespace

mod inout; // files in and out

mod racing; // with code that runs at the same time

mod undo; // snapshots

use super::dir::{Acting, Actor, Owner};
use super::files::Files;
use super::snapshot::{SnapshotLimits, Snapshots};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

const NOBODY: Owner = Owner { uid: 61_234, gid: 61_234 };

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn owner() -> Option<Owner> {
    is_root().then_some(NOBODY)
}

/// A workspace next to a folder that must stay as it is.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let set_mode = |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        set_mode(folder.path(), 0o755);
        let place = Place { folder };
        for path in [place.work(), place.outside()] {
            std::fs::create_dir(&path).unwrap();
            set_mode(&path, 0o755);
            if is_root() {
                chown(&path, Some(NOBODY.uid), Some(NOBODY.gid)).unwrap();
            }
        }
        let _acting = place.act();
        std::fs::write(place.outside().join("secret.txt"), "outside").unwrap();
        place
    }

    fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    fn outside(&self) -> PathBuf {
        self.folder.path().join("outside")
    }

    fn path(&self, below: &str) -> PathBuf {
        self.work().join(below)
    }

    /// Be the code in the session.
    fn act(&self) -> Acting {
        Actor(owner()).act().unwrap()
    }

    fn put(&self, below: &str, content: &str) {
        let _acting = self.act();
        if let Some(parent) = self.path(below).parent() {
            std::fs::create_dir_all(parent).unwrap();
        }
        std::fs::write(self.path(below), content).unwrap();
    }

    fn set_mode(&self, below: &str, mode: u32) {
        let _acting = self.act();
        std::fs::set_permissions(self.path(below), PermissionsExt::from_mode(mode)).unwrap();
    }

    fn root(&self) -> OwnedFd {
        open_root(&self.work())
    }

    fn files(&self) -> Files {
        Files::new(self.root(), owner())
    }

    fn snapshots(&self) -> Snapshots {
        self.snapshots_with(SnapshotLimits { bytes_max: 64 << 20, files_max: 10_000 })
    }

    fn snapshots_with(&self, limits: SnapshotLimits) -> Snapshots {
        Snapshots::new(self.root(), owner(), &self.folder.path().join("store"), limits).unwrap()
    }

    /// Nothing outside was written or removed.
    fn assert_outside_is_untouched(&self) {
        let names: Vec<_> =
            std::fs::read_dir(self.outside()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["secret.txt"]);
        assert_eq!(std::fs::read(self.outside().join("secret.txt")).unwrap(), b"outside");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What these tests leave behind is more than the standard library removes.
        let files = Files::new(open_root(self.folder.path()), owner());
        let _ = files.remove("work");
    }
}

fn open_root(path: &Path) -> OwnedFd {
    use rustix::fs::{CWD, Mode, OFlags};
    rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

fn sparse(path: &Path, bytes: u64) {
    File::create(path).unwrap().set_len(bytes).unwrap();
}

/// Small and the same on each run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}
