//! Snapshots: what is kept, what is put back, what it costs.

use super::super::error::SnapshotError;
use super::super::manifest::ChangeKind;
use super::super::scan::is_settled;
use super::super::snapshot::SnapshotLimits;
use super::inout::make_deep;
use super::{Place, Random, is_root, sparse};
use std::collections::BTreeMap;
use std::fs::{File, FileTimes};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Everything that a snapshot promises: kind and mode, time, content.
type State = BTreeMap<Vec<u8>, (u32, SystemTime, Vec<u8>)>;

fn state(place: &Place) -> State {
    let mut found = State::new();
    add_state(&place.work(), &mut found);
    found
}

fn add_state(path: &Path, found: &mut State) {
    use std::os::unix::ffi::OsStrExt;
    let facts = std::fs::symlink_metadata(path).unwrap();
    let mode = facts.permissions().mode();
    let is_shut = mode & 0o500 != 0o500;
    if is_shut && !facts.is_symlink() {
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o700)).unwrap();
    }
    let content = if facts.is_symlink() {
        std::fs::read_link(path).unwrap().as_os_str().as_bytes().to_vec()
    } else if facts.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            add_state(&entry.unwrap().path(), found);
        }
        Vec::new()
    } else {
        std::fs::read(path).unwrap()
    };
    if is_shut && !facts.is_symlink() {
        std::fs::set_permissions(path, facts.permissions()).unwrap();
    }
    found.insert(path.as_os_str().as_bytes().to_vec(), (mode, facts.modified().unwrap(), content));
}

fn settle() {
    // Longer than a tick of the clock, so that nothing has to be compared.
    std::thread::sleep(Duration::from_millis(40));
}

#[test]
fn any_changes_are_undone() {
    let place = Place::new();
    let mut snapshots = place.snapshots();
    let mut random = Random(42);
    for round in 0..200 {
        for _ in 0..random.below(12) {
            mutate(&place, &mut random);
        }
        if round % 10 == 0 {
            settle();
        }
        let before = state(&place);
        let id = snapshots.take().unwrap();
        assert_eq!(state(&place), before, "round {round}: taking changes nothing");
        for _ in 0..random.below(12) {
            mutate(&place, &mut random);
        }
        if round % 3 == 0 {
            snapshots.take().unwrap();
        }
        let restored = snapshots.restore(id).unwrap();
        assert_eq!(restored.failed, Vec::<String>::new(), "round {round}");
        assert_eq!(state(&place), before, "round {round}");
        let again = snapshots.take().unwrap();
        assert!(snapshots.same(id, again), "round {round}: {:?}", snapshots.changes(id, again, 10));
        assert_eq!(snapshots.restore(id).unwrap(), Default::default(), "round {round}: nothing is left to do");
        if round % 7 == 0 {
            snapshots.forget(id);
        }
    }
}

fn mutate(place: &Place, random: &mut Random) {
    let _acting = place.act();
    let names = ["a", "b", "c\n", "é"];
    let mut path = place.work();
    for _ in 0..=random.below(4) {
        path.push(names[random.below(4) as usize]);
        if !path.symlink_metadata().is_ok_and(|found| found.is_dir()) {
            break;
        }
    }
    let Ok(parent) = path.parent().unwrap().metadata() else { return };
    if parent.permissions().mode() & 0o700 != 0o700 {
        let _ = std::fs::set_permissions(path.parent().unwrap(), PermissionsExt::from_mode(0o755));
    }
    let length = random.below(9000) as usize;
    // Many of these fail, as many mutations of a tree cannot be done: then the tree stays as it is.
    let _ = match random.below(11) {
        0 => std::fs::write(&path, vec![random.below(256) as u8; length]),
        1 => std::fs::create_dir(&path),
        2 => std::fs::remove_file(&path),
        3 => std::fs::remove_dir_all(&path),
        4 => symlink("/etc/passwd", &path),
        5 => std::fs::rename(&path, place.path(names[random.below(4) as usize])),
        // Same size, same modification time, other content.
        6 => File::options().read(true).write(true).open(&path).and_then(|file| {
            let times = FileTimes::new().set_modified(file.metadata()?.modified()?);
            file.write_all_at(&[random.below(256) as u8], 0)?;
            file.set_times(times)
        }),
        7 | 8 if !path.is_symlink() => {
            let modes = [0o755, 0o000, 0o500, 0o200, 0o644];
            std::fs::set_permissions(&path, PermissionsExt::from_mode(modes[random.below(5) as usize]))
        }
        9 => File::options().write(true).open(&path).and_then(|file| {
            file.set_len(1 << 24)?;
            file.write_all_at(b"far", 1 << random.below(23))
        }),
        _ => std::fs::hard_link(&path, place.path("linked")),
    };
}

#[test]
fn what_changed_is_named_and_only_that_is_copied() {
    let place = Place::new();
    let mut snapshots = place.snapshots();
    place.put("keep.txt", &"k".repeat(100_000));
    place.put("change.txt", "one");
    place.put("gone/inner.txt", "x");
    settle();
    let before = snapshots.take().unwrap();
    let bytes = snapshots.bytes();
    let copies = |place: &Place| std::fs::read_dir(place.folder.path().join("store")).unwrap().count();
    assert_eq!((bytes, copies(&place)), (100_000u64.next_multiple_of(4096) + 2 * 4096, 3));
    let same = snapshots.take().unwrap();
    assert_eq!((snapshots.bytes(), snapshots.same(before, same)), (bytes, true));

    place.put("change.txt", "two");
    place.put("new/file.txt", "new");
    let acting = place.act();
    std::fs::remove_dir_all(place.path("gone")).unwrap();
    // A new time is no change, and copies nothing.
    let times = FileTimes::new().set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1));
    File::options().write(true).open(place.path("keep.txt")).unwrap().set_times(times).unwrap();
    drop(acting);
    let after = snapshots.take().unwrap();
    assert_eq!((snapshots.bytes(), copies(&place)), (bytes + 2 * 4096, 5));
    let changes = snapshots.changes(before, after, 100).unwrap();
    let changes: Vec<_> = changes.iter().map(|change| (change.path.as_str(), change.kind)).collect();
    let expected = [
        ("change.txt", ChangeKind::Changed),
        ("gone", ChangeKind::Removed),
        ("gone/inner.txt", ChangeKind::Removed),
        ("new", ChangeKind::Added),
        ("new/file.txt", ChangeKind::Added),
    ];
    assert_eq!(changes, expected);
    assert_eq!(snapshots.changes(before, after, 2).unwrap().len(), 2);
    assert!(!snapshots.same(before, after));

    let folder = std::fs::metadata(place.work()).unwrap().ino();
    let restored = snapshots.restore(before).unwrap();
    // change.txt, keep.txt (its time), gone, gone/inner.txt; new/file.txt and new.
    assert_eq!((restored.written, restored.removed, restored.failed.len()), (4, 3, 0));
    assert_eq!(std::fs::metadata(place.work()).unwrap().ino(), folder);
    for id in [before, same, after] {
        snapshots.forget(id);
    }
    assert_eq!((snapshots.bytes(), copies(&place)), (0, 0));
    assert!(matches!(snapshots.restore(before), Err(SnapshotError::Forgotten)));
    assert!(!snapshots.same(before, after));
    assert_eq!(std::fs::metadata(place.folder.path().join("store")).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_file_that_changed_just_now_is_not_trusted() {
    let now = SystemTime::now();
    let seconds = now.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs().cast_signed();
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.cast_unsigned()) + Duration::from_millis(500);
    assert!(is_settled((seconds, 400_000_000), now));
    // Within a tick, at the same moment, and after a clock that was set back.
    for changed in [(seconds, 490_000_000), (seconds, 500_000_000), (seconds + 100, 1)] {
        assert!(!is_settled(changed, now), "{changed:?}");
    }
    // A file system that counts whole seconds.
    assert!(!is_settled((seconds - 2, 0), now) && is_settled((seconds - 3, 0), now));
    assert!(is_settled((-5, 1), now));

    let place = Place::new();
    let mut snapshots = place.snapshots();
    for round in 0..200 {
        place.put("file", &format!("{round:04}"));
        let before = snapshots.take().unwrap();
        place.put("file", &format!("{:04}", round + 1));
        let after = snapshots.take().unwrap();
        assert!(!snapshots.same(before, after), "round {round}");
    }
}

#[test]
fn limits_are_refused_and_leave_no_copies() {
    let place = Place::new();
    let limits = SnapshotLimits { bytes_max: 1 << 20, files_max: 100 };
    let mut snapshots = place.snapshots_with(limits);
    place.put("large", &"x".repeat(2 << 20));
    assert!(matches!(snapshots.take(), Err(SnapshotError::TooLarge { unit: "bytes to keep", limit: 1_048_576 })));
    place.put("large", &"x".repeat(700_000));
    let id = snapshots.take().unwrap();
    let bytes = snapshots.bytes();
    place.put("large", &"y".repeat(700_000));
    assert!(matches!(snapshots.take(), Err(SnapshotError::TooLarge { .. })));
    assert_eq!(snapshots.bytes(), bytes);
    snapshots.forget(id);
    snapshots.take().unwrap();
    for number in 0..100 {
        place.put(&format!("many/{number}"), "");
    }
    assert!(matches!(snapshots.take(), Err(SnapshotError::TooLarge { unit: "files", limit: 100 })));
}

#[test]
fn holes_are_not_kept() {
    let place = Place::new();
    let mut snapshots = place.snapshots();
    let acting = place.act();
    sparse(&place.path("huge"), 1 << 40);
    let file = File::options().write(true).open(place.path("huge")).unwrap();
    file.write_all_at(b"data", 1 << 39).unwrap();
    drop(acting);
    let id = snapshots.take().unwrap();
    assert!(snapshots.bytes() <= 1 << 20, "{}", snapshots.bytes());
    file.write_all_at(b"more", 1 << 20).unwrap();
    let other = snapshots.take().unwrap();
    assert!(!snapshots.same(id, other));
    assert_eq!(snapshots.restore(id).unwrap().written, 1);
    let file = File::open(place.path("huge")).unwrap();
    let facts = file.metadata().unwrap();
    assert!(facts.len() == 1 << 40 && facts.blocks() * 512 <= 1 << 20);
    let mut content = [1; 4];
    file.read_exact_at(&mut content, 1 << 39).unwrap();
    assert_eq!(&content, b"data");
    file.read_exact_at(&mut content, 1 << 20).unwrap();
    assert_eq!(content, [0; 4]);
}

#[test]
fn what_cannot_be_kept_is_named_and_left_alone() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let place = Place::new();
    let mut snapshots = place.snapshots();
    make_deep(&place, 10_000);
    let acting = place.act();
    mknodat(CWD, place.path("pipe"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    drop(acting);
    let id = snapshots.take().unwrap();
    let uncovered = snapshots.uncovered(id, 10).unwrap();
    assert_eq!(uncovered.len(), 2, "{uncovered:?}");
    assert!(uncovered[0].ends_with("it is too deep") && uncovered[1] == "`pipe`: it is a FIFO");
    assert_eq!(snapshots.restore(id).unwrap(), Default::default());
    std::fs::remove_file(place.path("pipe")).unwrap();
    let restored = snapshots.restore(id).unwrap();
    assert_eq!(restored.failed.len(), 1);
    assert!(restored.failed[0].starts_with("`pipe`: it is gone"), "{restored:?}");
}

#[test]
fn deep_extra_and_locked_trees_are_undone() {
    let place = Place::new();
    let mut snapshots = place.snapshots();
    place.put("plain", "x");
    place.put("shut/inner/file", "kept");
    place.set_mode("shut/inner", 0);
    place.set_mode("shut", 0o100);
    let before = state(&place);
    let id = snapshots.take().unwrap();
    assert_eq!(snapshots.uncovered(id, 9).unwrap(), Vec::<String>::new());
    let acting = place.act();
    std::fs::set_permissions(place.path("shut"), PermissionsExt::from_mode(0o700)).unwrap();
    std::fs::set_permissions(place.path("shut/inner"), PermissionsExt::from_mode(0o700)).unwrap();
    std::fs::write(place.path("shut/inner/extra"), "x").unwrap();
    std::fs::write(place.path("shut/inner/file"), "changed").unwrap();
    std::fs::remove_file(place.path("plain")).unwrap();
    drop(acting);
    place.put("plain/is/a/folder", "now");
    place.set_mode("plain/is/a", 0);
    place.set_mode("shut/inner", 0);
    place.set_mode("", 0o500);
    make_deep_in_locked(&place);
    let restored = snapshots.restore(id).unwrap();
    assert_eq!(restored.failed, Vec::<String>::new());
    assert_eq!(state(&place), before);
}

fn make_deep_in_locked(place: &Place) {
    place.set_mode("", 0o755);
    make_deep(place, 3_000);
    place.set_mode("deep", 0);
    place.set_mode("", 0o500);
}

#[test]
fn another_users_file_is_neither_kept_nor_given_away() {
    if !is_root() {
        println!("skipped: only root has files of several users");
        return;
    }
    let place = Place::new();
    let mut snapshots = place.snapshots();
    std::fs::write(place.folder.path().join("roots"), "of root").unwrap();
    std::fs::hard_link(place.folder.path().join("roots"), place.path("roots")).unwrap();
    std::fs::write(place.path("tool"), "set-user-id").unwrap();
    std::fs::set_permissions(place.path("tool"), PermissionsExt::from_mode(0o4755)).unwrap();
    let id = snapshots.take().unwrap();
    assert!(snapshots.uncovered(id, 9).unwrap()[0].starts_with("`roots`: it is a second name"));
    let acting = place.act();
    std::fs::remove_file(place.path("tool")).unwrap();
    drop(acting);
    assert_eq!(snapshots.restore(id).unwrap().failed, Vec::<String>::new());
    let tool = std::fs::metadata(place.path("tool")).unwrap();
    assert_eq!((tool.permissions().mode() & 0o7777, tool.uid()), (0o755, super::NOBODY.uid));
}

#[test]
fn links_to_one_file_are_kept_once() {
    let place = Place::new();
    let mut snapshots = place.snapshots_with(SnapshotLimits { bytes_max: 1 << 20, files_max: 1_000 });
    place.put("first", &"x".repeat(900_000));
    for number in 0..50 {
        std::fs::hard_link(place.path("first"), place.path(&number.to_string())).unwrap();
    }
    snapshots.take().unwrap();
    assert!(snapshots.bytes() <= 1 << 20);
}

#[test]
fn a_file_stays_the_same_file_unless_it_has_other_names() {
    let place = Place::new();
    let mut snapshots = place.snapshots();
    place.put("alone", "before");
    place.put("shared", "before");
    let id = snapshots.take().unwrap();
    place.put("alone", "after, and longer");
    std::fs::hard_link(place.path("shared"), place.path("second")).unwrap();
    place.put("shared", "after");
    let inode = |name: &str| std::fs::metadata(place.path(name)).unwrap().ino();
    let held = File::open(place.path("shared")).unwrap();
    let (alone, shared) = (inode("alone"), inode("shared"));
    std::fs::rename(place.path("second"), place.outside().join("second")).unwrap();
    let restored = snapshots.restore(id).unwrap();
    assert_eq!(restored.failed, Vec::<String>::new());
    let text = |name: &str| std::fs::read_to_string(place.path(name)).unwrap();
    assert_eq!((text("alone"), text("shared")), ("before".to_string(), "before".to_string()));
    assert_eq!(inode("alone"), alone);
    assert_ne!(inode("shared"), shared);
    assert_eq!(std::io::read_to_string(held).unwrap(), "after", "its other name lies outside");
}
