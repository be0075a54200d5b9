//! With code that runs at the same time and changes names under the host.

use super::super::FileError;
use super::Place;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::io::Write;
use std::os::unix::fs::{FileExt, symlink};
use std::sync::atomic::{AtomicBool, Ordering};

const ROUNDS: usize = 10_000;
const RESTORES: usize = 300;

/// Run `work` while another thread keeps swapping the folder `d` with a link to the outside, and `f` with another.
fn while_swapping(place: &Place, work: impl FnOnce()) {
    place.put("d/secret.txt", "inside");
    place.put("f", "inside");
    let acting = place.act();
    symlink(place.outside(), place.path("link")).unwrap();
    symlink(place.outside().join("secret.txt"), place.path("file_link")).unwrap();
    drop(acting);
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _acting = place.act();
            while !is_done.load(Ordering::Relaxed) {
                for (one, other) in [("d", "link"), ("f", "file_link")] {
                    // Snapshots that are put back may have taken one of them away for a moment.
                    let _ = renameat_with(CWD, place.path(one), CWD, place.path(other), RenameFlags::EXCHANGE);
                }
            }
        });
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        is_done.store(true, Ordering::Relaxed);
        result.unwrap();
    });
    place.assert_outside_is_untouched();
}

#[test]
fn nothing_outside_is_read_written_or_removed() {
    let place = Place::new();
    let files = place.files();
    while_swapping(&place, || {
        let mut inside = 0;
        for round in 0..ROUNDS {
            for path in ["d/secret.txt", "f"] {
                match files.read(path, 100) {
                    Ok(content) => {
                        assert_eq!(content, b"inside");
                        inside += 1;
                    }
                    Err(FileError::Link { .. } | FileError::Missing { .. } | FileError::Changed { .. }) => {}
                    Err(other) => panic!("{other:?}"),
                }
            }
            let _ = files.write("d/new.txt", &mut "x".as_bytes(), 9);
            let _ = files.remove("d/new.txt");
            if round % 100 == 0 {
                let _ = files.list("d", 100);
            }
        }
        assert!(inside > 0);
    });
}

#[test]
fn restoring_touches_nothing_outside() {
    let place = Place::new();
    let files = place.files();
    let mut snapshots = place.snapshots();
    place.put("d/secret.txt", "first");
    place.put("d/sub/more.txt", "more");
    let id = snapshots.take().unwrap();
    while_swapping(&place, || {
        for _ in 0..RESTORES {
            snapshots.restore(id).unwrap();
            // Nothing here may pass through `d` unprotected, which can be the outside at any time.
            let _ = files.remove("d/sub");
            let _ = files.write("d/secret.txt", &mut "changed".as_bytes(), 99);
            let _ = files.write("d/extra/file", &mut "x".as_bytes(), 99);
            let acting = place.act();
            let _ = symlink(place.outside(), place.path("link"));
            drop(acting);
            let taken = snapshots.take().unwrap();
            for copy in std::fs::read_dir(place.folder.path().join("store")).unwrap() {
                assert_ne!(std::fs::read(copy.unwrap().path()).unwrap(), b"outside");
            }
            snapshots.forget(taken);
        }
    });
    let restored = snapshots.restore(id).unwrap();
    assert_eq!(restored.failed, Vec::<String>::new());
    assert_eq!(std::fs::read(place.path("d/secret.txt")).unwrap(), b"first");
    assert_eq!(std::fs::read(place.path("d/sub/more.txt")).unwrap(), b"more");
    assert_eq!(std::fs::read_dir(place.work()).unwrap().count(), 1);
}

#[test]
fn a_file_that_changes_while_it_is_read_is_whole_or_refused() {
    let place = Place::new();
    let files = place.files();
    place.put("log", "start");
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let acting = place.act();
            let mut file = std::fs::OpenOptions::new().append(true).open(place.path("log")).unwrap();
            drop(acting);
            while !is_done.load(Ordering::Relaxed) {
                for _ in 0..200 {
                    file.write_all(&[b'x'; 1000]).unwrap();
                }
                file.set_len(0).unwrap();
            }
        });
        let results: Vec<_> = (0..300).map(|_| files.read("log", 1 << 20)).collect();
        is_done.store(true, Ordering::Relaxed);
        for result in results {
            match result {
                Ok(content) => assert!(content.len() <= 200_005),
                Err(error) => assert!(matches!(error, FileError::Changed { .. }), "{error:?}"),
            }
        }
    });
    let end = std::fs::metadata(place.path("log")).unwrap().len();
    assert_eq!(files.read("log", 1 << 20).unwrap().len() as u64, end);
}

#[test]
fn a_torn_content_is_never_given_out() {
    const BYTES: u64 = 16 << 20;
    let place = Place::new();
    let files = place.files();
    let acting = place.act();
    super::sparse(&place.path("table"), BYTES);
    let file = std::fs::OpenOptions::new().write(true).open(place.path("table")).unwrap();
    drop(acting);
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 1u64.. {
                // The start is never behind the end.
                file.write_all_at(&number.to_le_bytes(), 0).unwrap();
                file.write_all_at(&number.to_le_bytes(), BYTES - 8).unwrap();
                if is_done.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        let results: Vec<_> = (0..5).map(|_| files.read("table", BYTES)).collect();
        is_done.store(true, Ordering::Relaxed);
        for content in results.into_iter().flatten() {
            let number = |at: usize| u64::from_le_bytes(content[at..at + 8].try_into().unwrap());
            assert!(number(0) >= number(content.len() - 8));
        }
    });
}

#[test]
fn removing_ends_although_names_keep_coming() {
    let place = Place::new();
    let files = place.files();
    place.put("busy/0", "");
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _acting = place.act();
            for number in 0..20_000 {
                let _ = std::fs::create_dir_all(place.path(&format!("busy/{number}/{number}")));
                if is_done.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        let _ = files.remove("busy");
        is_done.store(true, Ordering::Relaxed);
    });
    let _ = files.remove("busy");
    assert_eq!(files.list("", 9).unwrap().entries, []);
}
