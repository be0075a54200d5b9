//! Workspaces on file systems of their own: a full one, and one that belongs to a user namespace.

use super::super::dir::Owner;
use super::super::error::SnapshotError;
use super::super::snapshot::{SnapshotLimits, Snapshots};
use super::super::{FileError, Files};
use super::{NOBODY, Place, is_root, open_root};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A memory file system that is mounted nowhere.
fn small_filesystem(size: &str) -> rustix::io::Result<OwnedFd> {
    let context = rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let owner = NOBODY.uid.to_string();
    for (key, value) in [("size", size), ("mode", "755"), ("uid", &owner), ("gid", &owner)] {
        rustix::mount::fsconfig_set_string(&context, key, value)?;
    }
    rustix::mount::fsconfig_create(&context)?;
    rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
}

#[test]
fn a_full_workspace_is_named_and_can_be_undone() {
    let root = match small_filesystem("1m") {
        Ok(root) => root,
        Err(error) => {
            println!("skipped: a file system cannot be made here: {error}");
            return;
        }
    };
    let store = tempfile::tempdir().unwrap();
    let clone = || root.try_clone().unwrap();
    let files = Files::new(clone(), Some(NOBODY));
    let limits = SnapshotLimits { bytes_max: 64 << 20, files_max: 1000 };
    let mut snapshots = Snapshots::new(clone(), Some(NOBODY), &store.path().join("store"), limits).unwrap();
    files.write("data", &mut &*vec![1; 600_000], 1 << 20).unwrap();
    files.write("small", &mut &*vec![1; 100], 1 << 20).unwrap();
    let id = snapshots.take().unwrap();
    let error = files.write("more", &mut &*vec![2; 600_000], 1 << 20).unwrap_err();
    assert!(matches!(&error, FileError::Full { path } if path == "more"), "{error:?}");
    assert_eq!(files.list("", 9).unwrap().entries.len(), 2);
    files.remove("data").unwrap();
    files.write("data", &mut &*vec![2; 600_000], 1 << 20).unwrap();
    files.write("zzz", &mut &*vec![2; 400_000], 1 << 20).unwrap();
    let restored = snapshots.restore(id).unwrap();
    assert_eq!((restored.failed, restored.removed), (vec![], 1));
    assert!(files.read("data", 1 << 20).unwrap() == vec![1; 600_000]);
}

#[test]
fn a_full_store_is_reported_and_leaves_nothing() {
    let Ok(disk) = small_filesystem("1m") else {
        println!("skipped: a file system cannot be made here");
        return;
    };
    let place = Place::new();
    let store = PathBuf::from(format!("/proc/self/fd/{}/store", disk.as_raw_fd()));
    let limits = SnapshotLimits { bytes_max: 64 << 20, files_max: 1000 };
    let mut snapshots = Snapshots::new(place.root(), Some(NOBODY), &store, limits).unwrap();
    place.put("small", "x");
    place.put("too_much", &"x".repeat(2 << 20));
    assert!(matches!(snapshots.take(), Err(SnapshotError::Store(error)) if error.kind() == ErrorKind::StorageFull));
    assert_eq!((snapshots.bytes(), std::fs::read_dir(&store).unwrap().count()), (0, 0));
    place.put("too_much", "less");
    snapshots.take().unwrap();
}

#[test]
fn a_workspace_of_a_user_namespace_works_without_its_root() {
    if !is_root() {
        println!("skipped: only root maps other users");
        return;
    }
    // Inside, 0 is 100000 here; this process is nobody there.
    let mount = "mount -t tmpfs -o mode=755,uid=5,gid=5 none /mnt && echo mounted && read end";
    let script = format!("read go && exec setpriv --reuid 0 --regid 0 --clear-groups sh -c '{mount}'");
    let child = Command::new("unshare")
        .args(["--user", "--mount", "--keep-caps", "sh", "-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = child else {
        println!("skipped: there is no unshare");
        return;
    };
    let mut line = String::new();
    let entered = (0..500).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        let namespace = |id: &str| std::fs::read_link(format!("/proc/{id}/ns/user")).ok();
        namespace("self") != namespace(&child.id().to_string())
    });
    let map = |name: &str| std::fs::write(format!("/proc/{}/{name}", child.id()), "0 100000 1000\n");
    if entered && map("gid_map").and(map("uid_map")).is_ok() {
        let _ = child.stdin.as_mut().unwrap().write_all(b"go\n");
        let _ = BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line);
    }
    if line == "mounted\n" {
        let folder = PathBuf::from("/proc").join(child.id().to_string()).join("root").join("mnt");
        check_namespace_workspace(&folder);
    } else {
        println!("skipped: a user namespace with a file system cannot be made here");
    }
    drop(child.stdin.take());
    child.wait().unwrap();
}

fn check_namespace_workspace(folder: &std::path::Path) {
    let owner = Some(Owner { uid: 100_005, gid: 100_005 });
    let files = Files::new(open_root(folder), owner);
    files.write("in/side.txt", &mut "x".as_bytes(), 9).unwrap();
    assert_eq!(std::fs::metadata(folder.join("in/side.txt")).unwrap().uid(), 100_005);
    let store = tempfile::tempdir().unwrap();
    let limits = SnapshotLimits { bytes_max: 64 << 20, files_max: 1000 };
    let mut snapshots = Snapshots::new(open_root(folder), owner, &store.path().join("store"), limits).unwrap();
    let id = snapshots.take().unwrap();
    files.remove("in").unwrap();
    assert_eq!(snapshots.restore(id).unwrap().failed, Vec::<String>::new());
    assert_eq!(files.read("in/side.txt", 9).unwrap(), b"x");
}
