//! Files out of and into a hostile workspace.

use crate::{attack, policy, run, rung, see};
use codeact_sandbox::{EntryKind, Policy, Rung, Session};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

/// A session in which the first cell of an attack ran.
fn after(rung: Rung, name: &str) -> Session {
    let mut session = Session::start(&policy(rung, 20_000)).unwrap();
    let found = attack::read(name);
    assert!(run(&mut session, &found.cells[0]).error.is_none());
    session
}

#[test]
fn paths_lead_nowhere_else() {
    rung::on_each("host::files::paths_lead_nowhere_else", |rung| {
        let mut session = Session::start(&policy(rung, 5000)).unwrap();
        run(&mut session, "import os; os.symlink('/', 'root'); os.symlink('..', 'up'); os.mkdir('sub')");
        let files = session.files();
        for path in [
            "../x",
            "..",
            "sub/../../x",
            "/etc/passwd",
            "/",
            "sub/../../../../etc/passwd",
            "root/etc/passwd",
            "up/x",
            "root",
            "a\0b",
            "sub//../..",
            "./../x",
            "root/tmp/codeact-escape",
            "\\x2e\\x2e/x",
            "\\x2fetc/passwd",
        ] {
            assert!(files.read(path, 1 << 20).is_err(), "read {path:?}");
            assert!(files.open(path).is_err(), "open {path:?}");
            if path != "root" {
                assert!(files.write(path, &mut &b"escape"[..], 100).is_err(), "write {path:?}");
                assert!(files.remove(path).is_err(), "remove {path:?}");
            }
        }
        assert!(files.list("..", 10).is_err() && files.list("/", 10).is_err() && files.list("root", 10).is_err());
        assert!(!std::path::Path::new("/tmp/codeact-escape").exists());
        files.write("sub/deep/er.txt", &mut &b"inside"[..], 100).unwrap();
        assert_eq!(see(&mut session, "open('sub/deep/er.txt').read()"), "'inside'");
    });
}

#[test]
fn links_and_special_files_are_listed_and_not_opened() {
    rung::on_each("host::files::links_and_special_files_are_listed_and_not_opened", |rung| {
        for (name, kind) in [("030_symbolic_links", EntryKind::Link), ("032_special_files", EntryKind::Other)] {
            let session = after(rung, name);
            let folder = format!("attack-{}", &name[..3]);
            let listing = session.files().list(&folder, 100).unwrap();
            assert!(listing.entries.len() >= 2, "{listing:?}");
            for entry in &listing.entries {
                let started = Instant::now();
                assert_eq!(entry.kind, kind, "{}", entry.path);
                assert!(session.files().read(&entry.path, 1 << 20).is_err(), "{}", entry.path);
                assert!(session.files().read(&format!("{}/etc/passwd", entry.path), 1 << 20).is_err());
                assert!(started.elapsed() < Duration::from_secs(2), "{} blocks", entry.path);
            }
        }
    });
}

#[test]
fn a_file_that_is_swapped_during_its_download_is_the_file_or_nothing() {
    rung::on_each("host::files::a_file_that_is_swapped_during_its_download_is_the_file_or_nothing", |rung| {
        let mut session = Session::start(&policy(rung, 20_000)).unwrap();
        let swap = "import os, threading, time\nopen('file', 'w').write('inside')\nos.symlink('/etc/passwd', 'link')\n\
            os.mkdir('folder'); open('folder/passwd', 'w').write('inside'); os.symlink('/etc', 'etc')\n\
            import ctypes\nlibc = ctypes.CDLL(None)\ndef swap():\n    while True:\n        \
            libc.renameat2(-100, b'file', -100, b'link', 2); libc.renameat2(-100, b'folder', -100, b'etc', 2)\n        time.sleep(0.0005)\n\
            threading.Thread(target=swap, daemon=True).start()";
        assert!(run(&mut session, swap).error.is_none());
        let files = session.files();
        let mut seen = [0, 0];
        let started = Instant::now();
        while seen.iter().any(|count| *count < 200) && started.elapsed() < Duration::from_secs(10) {
            for path in ["file", "folder/passwd"] {
                match files.read(path, 1 << 20) {
                    Ok(content) => {
                        assert_eq!(content, b"inside", "{path} came from the host");
                        seen[0] += 1;
                    }
                    Err(_) => seen[1] += 1,
                }
            }
        }
        assert!(seen[0] > 0 && seen[1] > 0, "it was never swapped: {seen:?}");
    });
}

#[test]
fn hostile_names_and_many_of_them() {
    rung::on_each("host::files::hostile_names_and_many_of_them", |rung| {
        let session = after(rung, "035_hostile_names");
        let files = session.files();
        let listing = files.list("attack-035", 1000).unwrap();
        let plain: Vec<_> = listing.entries.iter().filter(|entry| entry.kind == EntryKind::File).collect();
        assert_eq!((plain.len(), listing.entries.len()), (17, 18));
        for entry in plain {
            let content = files.read(&entry.path, 1000).unwrap();
            assert!(entry.path.chars().all(|char| !char.is_control()), "{:?}", entry.path);
            assert_eq!(content.len() as u64, entry.bytes, "{}", entry.path);
        }
        files.remove("attack-035").unwrap();
        assert!(files.list("attack-035", 10).is_err());
        let session = after(rung, "034_huge_folder");
        let listing = session.files().list("attack-034", 1000).unwrap();
        assert!(listing.is_cut && listing.entries.len() == 1000);
        session.files().remove("attack-034").unwrap();
        let session = after(rung, "045a_blocked_cleanup");
        assert!(session.files().list("attack-045/a", 10).is_err() || rung::is_root());
        drop(session);
    });
}

#[test]
fn a_socket_beside_python_cannot_be_reached() {
    rung::on_each("host::files::a_socket_beside_python_cannot_be_reached", |rung| {
        let folder = tempfile::Builder::new().prefix("codeact-test-").tempdir().unwrap();
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let environment = folder.path().join("environment");
        let made =
            std::process::Command::new("python3").args(["-m", "venv", "--without-pip"]).arg(&environment).status();
        if !made.is_ok_and(|status| status.success()) {
            crate::report("skipped: python3 has no module venv");
            return;
        }
        let path = environment.join("socket");
        let _listener = UnixListener::bind(&path).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o777)).unwrap();
        let python = environment.join("bin/python3");
        let mut session = Session::start(&Policy { python, ..policy(rung, 10_000) }).unwrap();
        let code = format!(
            "import os, socket\nprint(os.path.lexists({path:?}))\nsocket.socket(socket.AF_UNIX).connect({path:?})"
        );
        let cell = run(&mut session, &code);
        let error = cell.error.map(|error| error.name).unwrap_or_default();
        let is_refused = ["PermissionError", "ConnectionRefusedError", "FileNotFoundError"].contains(&error.as_str());
        assert!(is_refused, "rung {}: {error:?}, {}", rung.letter(), cell.stdout);
    });
}
