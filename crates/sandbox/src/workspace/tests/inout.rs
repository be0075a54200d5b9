//! Files in and out.

use super::super::names::{parse, shown};
use super::super::{EntryKind, FileError};
use super::{Place, Random, is_root, sparse};
use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

const TERABYTE: u64 = 1 << 40;

#[test]
fn bad_paths_are_refused_each_with_its_reason() {
    let place = Place::new();
    let files = place.files();
    let long = "n".repeat(256);
    let deep = "d/".repeat(2100) + "f";
    let cases = [
        ("", "empty"),
        ("/etc/passwd", "absolute"),
        ("a/../../outside/secret.txt", "`..`"),
        ("..", "`..`"),
        ("\\x2e\\x2e/outside/secret.txt", "`..`"),
        ("a\0b", "NUL"),
        ("a\\x00b", "NUL"),
        (long.as_str(), "255"),
        (deep.as_str(), "4095"),
        ("a\\b", "backslash"),
        ("a\\x", "backslash"),
        ("a\\xg0", "backslash"),
        (".", "workspace itself"),
        ("folder/", "ends with"),
    ];
    for (path, reason) in cases {
        let error = files.read(path, 100).unwrap_err();
        assert!(matches!(&error, FileError::Path { .. }), "{path}: {error:?}");
        assert!(error.to_string().contains(reason), "{error}");
        assert!(files.write(path, &mut "x".as_bytes(), 100).is_err());
        assert!(!error.to_string().contains('\0'));
    }
    assert!(matches!(files.remove("."), Err(FileError::Path { .. })));
    assert!(files.list("../outside", 10).is_err());
    assert_eq!(files.list("", 10).unwrap().entries, []);
}

#[test]
fn any_name_is_shown_safely_and_means_the_same_file_when_given_back() {
    let mut random = Random(7);
    for _ in 0..5_000 {
        let length = 1 + random.below(12);
        let name: Vec<u8> = (0..length).map(|_| random.below(256) as u8).filter(|b| !b"/\0.".contains(b)).collect();
        if name.is_empty() {
            continue;
        }
        let text = shown(&name);
        assert!(!text.chars().any(char::is_control), "{text:?}");
        assert_eq!(parse(&text).unwrap(), [name]);
    }
    assert_eq!(shown("évoilà 日本.txt".as_bytes()), "évoilà 日本.txt");
    assert_eq!(shown("\u{202e}gpj.exe".as_bytes()), "\\xe2\\x80\\xaegpj.exe");
    let hidden = "\u{61c}\u{200b}\u{200d}\u{2028}\u{2066}\u{2060}\u{feff}\u{ad}\u{3164}\u{e0041}";
    for character in hidden.chars() {
        let name = format!("a{character}b");
        let text = shown(name.as_bytes());
        assert!(text.is_ascii() && parse(&text).unwrap() == [name.into_bytes()], "{text:?}");
    }
}

#[test]
fn odd_names_are_listed_read_and_removed() {
    let place = Place::new();
    let files = place.files();
    let longest = vec![b'n'; 255];
    let names: [&[u8]; 6] =
        [b"a\nb", b"bad\xff\xfe", &longest, "\u{202e}txt.exe".as_bytes(), b"back\\slash", b"\x1b[2Jred"];
    for name in names {
        let _acting = place.act();
        std::fs::write(place.work().join(OsStr::from_bytes(name)), name).unwrap();
    }
    let listing = files.list("", 100).unwrap();
    assert_eq!(listing.entries.len(), names.len());
    for entry in &listing.entries {
        assert!(!entry.path.chars().any(char::is_control));
        let content = files.read(&entry.path, 1000).unwrap();
        assert!(names.contains(&&*content));
        assert_eq!(entry.bytes, content.len() as u64);
        files.remove(&entry.path).unwrap();
    }
    assert_eq!(files.list(".", 100).unwrap().entries, []);
}

#[test]
fn a_written_file_is_whole_readable_and_its_owners() {
    let place = Place::new();
    let files = place.files();
    let content = vec![7; 300_000];
    assert_eq!(files.write("data/deep/table.bin", &mut &*content, 300_000).unwrap(), 300_000);
    assert_eq!(files.read("data/./deep//table.bin", 300_000).unwrap(), content);
    let found = std::fs::metadata(place.path("data/deep/table.bin")).unwrap();
    assert_eq!(found.permissions().mode() & 0o7777, 0o644);
    assert_eq!(found.uid(), std::fs::metadata(place.work()).unwrap().uid());
    assert_eq!(std::fs::metadata(place.path("data")).unwrap().uid(), found.uid());
    files.write("data/deep/table.bin", &mut "new".as_bytes(), 3).unwrap();
    assert_eq!(files.read("data/deep/table.bin", 3).unwrap(), b"new");
    // A refused one changes nothing and leaves nothing behind.
    let error = files.write("data/deep/table.bin", &mut "four".as_bytes(), 3).unwrap_err();
    assert!(matches!(error, FileError::TooLarge { bytes_max: 3, .. }), "{error:?}");
    let broken = &mut "x".as_bytes().chain(Broken);
    assert!(matches!(files.write("data/deep/table.bin", broken, 99), Err(FileError::Content { .. })));
    assert_eq!(files.read("data/deep/table.bin", 3).unwrap(), b"new");
    assert_eq!(files.list("data/deep", 10).unwrap().entries.len(), 1);
    assert!(matches!(files.write("data/deep", &mut "x".as_bytes(), 9), Err(FileError::NotAFile { .. })));
    assert!(matches!(files.write("data/deep/table.bin/x", &mut "".as_bytes(), 9), Err(FileError::NotAFolder { .. })));
    assert!(matches!(files.read("data", 9), Err(FileError::NotAFile { kind: "a folder", .. })));
    assert!(matches!(files.read("none", 9), Err(FileError::Missing { .. })));
}

struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(std::io::Error::other("the upload broke off"))
    }
}

#[test]
fn links_are_never_followed() {
    let place = Place::new();
    let files = place.files();
    let acting = place.act();
    symlink(place.outside().join("secret.txt"), place.path("file")).unwrap();
    symlink(place.outside(), place.path("folder")).unwrap();
    symlink("/proc/self/root", place.path("magic")).unwrap();
    drop(acting);
    let paths = ["file", "folder/secret.txt", "magic/etc/passwd"];
    for path in paths {
        assert!(matches!(files.read(path, 1 << 20), Err(FileError::Link { .. })), "{path}");
        assert!(matches!(files.open(path), Err(FileError::Link { .. })), "{path}");
    }
    assert!(files.write("folder/new.txt", &mut "x".as_bytes(), 9).is_err());
    assert!(files.list("folder", 9).is_err());
    assert!(files.remove("folder/secret.txt").is_err());
    assert!(files.list("", 9).unwrap().entries.iter().all(|entry| entry.kind == EntryKind::Link));
    // Writing to the name of a link replaces the link itself; removing a link removes only that.
    files.write("file", &mut "mine".as_bytes(), 9).unwrap();
    assert_eq!(files.read("file", 9).unwrap(), b"mine");
    files.remove("folder").unwrap();
    place.assert_outside_is_untouched();
}

#[test]
fn special_files_are_not_opened_and_do_not_block() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let place = Place::new();
    let files = place.files();
    let acting = place.act();
    mknodat(CWD, place.path("result.csv"), FileType::Fifo, Mode::from_raw_mode(0o666), 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(place.path("socket")).unwrap();
    drop(acting);
    let error = files.read("result.csv", 100).unwrap_err();
    assert!(matches!(&error, FileError::NotAFile { kind: "a FIFO", .. }), "{error:?}");
    assert!(matches!(files.open("socket"), Err(FileError::NotAFile { kind: "a socket", .. })));
    if is_root() {
        mknodat(CWD, place.path("zero"), FileType::CharacterDevice, Mode::from_raw_mode(0o666), 0x105).unwrap();
        assert!(matches!(files.read("zero", 100), Err(FileError::NotAFile { kind: "a device", .. })));
    } else {
        println!("skipped: devices, which only root can make");
    }
    assert!(files.list("", 9).unwrap().entries.iter().all(|entry| entry.kind == EntryKind::Other));
    files.write("result.csv", &mut "1,2".as_bytes(), 9).unwrap();
    assert_eq!(files.read("result.csv", 9).unwrap(), b"1,2");
}

#[test]
fn a_lease_does_not_hold_the_host_up() {
    use std::os::fd::AsRawFd;
    // Linux's number, which the libc crate lacks.
    const F_SETSIG: libc::c_int = 10;
    let place = Place::new();
    place.put("leased", "x");
    let acting = place.act();
    let file = std::fs::File::open(place.path("leased")).unwrap();
    // SAFETY: plain numbers on a descriptor that is open. The signal is one that is ignored unless handled.
    let taken = unsafe {
        libc::fcntl(file.as_raw_fd(), F_SETSIG, libc::SIGURG);
        libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_WRLCK)
    };
    drop(acting);
    if taken != 0 {
        println!("skipped: this file system has no leases");
        return;
    }
    assert!(matches!(place.files().read("leased", 9), Err(FileError::Busy { .. })));
    let mut snapshots = place.snapshots();
    let id = snapshots.take().unwrap();
    assert_eq!(snapshots.uncovered(id, 9).unwrap().len(), 1);
    place.files().write("leased", &mut "mine".as_bytes(), 9).unwrap();
    assert_eq!(place.files().read("leased", 9).unwrap(), b"mine");
}

#[test]
fn a_sparse_terabyte_is_refused_before_it_is_read() {
    let place = Place::new();
    let acting = place.act();
    sparse(&place.path("huge"), TERABYTE);
    drop(acting);
    let error = place.files().read("huge", 1 << 30).unwrap_err();
    assert!(matches!(error, FileError::TooLarge { bytes: TERABYTE, .. }), "{error:?}");
}

#[test]
fn a_second_name_of_another_users_file_is_not_given_away() {
    if !is_root() {
        println!("skipped: only root has files of several users");
        return;
    }
    let place = Place::new();
    let files = place.files();
    place.put("mine", "mine");
    std::fs::write(place.folder.path().join("roots"), "readable by all, and still not the session's").unwrap();
    std::fs::hard_link(place.folder.path().join("roots"), place.path("roots")).unwrap();
    std::fs::hard_link(place.path("mine"), place.path("again")).unwrap();
    assert!(matches!(files.read("roots", 100), Err(FileError::Shared { .. })));
    assert_eq!(files.read("again", 100).unwrap(), b"mine");
    // What the session's user cannot read, root does not read for it.
    std::fs::write(place.path("private"), "of root").unwrap();
    std::fs::set_permissions(place.path("private"), PermissionsExt::from_mode(0o600)).unwrap();
    assert!(matches!(files.read("private", 100), Err(FileError::Denied { .. })));
}

#[test]
fn a_huge_folder_is_listed_in_part() {
    let place = Place::new();
    for number in 0..3_000 {
        place.put(&format!("many/{number}"), "");
    }
    let files = place.files();
    let listing = files.list("many", 100).unwrap();
    assert_eq!((listing.entries.len(), listing.is_cut), (100, true));
    let listing = files.list("many", 3_000).unwrap();
    assert_eq!((listing.entries.len(), listing.is_cut), (3_000, false));
    assert!(listing.entries[0].path.starts_with("many/") && listing.entries[0].modified_ms > 1_600_000_000_000);
}

#[test]
fn a_deep_and_locked_tree_is_removed() {
    let place = Place::new();
    make_deep(&place, 10_000);
    place.put("shut/inner/file", "x");
    place.set_mode("shut/inner", 0);
    place.set_mode("shut", 0);
    let files = place.files();
    files.remove("shut").unwrap();
    files.remove("deep").unwrap();
    assert_eq!(files.list("", 9).unwrap().entries, []);
}

/// Folders within folders, deeper than any path can name.
pub(super) fn make_deep(place: &Place, levels: usize) {
    use rustix::fs::{Mode, OFlags, mkdirat, openat};
    let _acting = place.act();
    std::fs::create_dir(place.path("deep")).unwrap();
    let mut folder = super::open_root(&place.path("deep"));
    for _ in 0..levels {
        mkdirat(&folder, "d", Mode::RWXU).unwrap();
        folder = openat(&folder, "d", OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
    }
}
