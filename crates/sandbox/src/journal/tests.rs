//! Journals that are written, torn, changed by hand and written by two.

use super::*;
use crate::CellEnd;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

fn cell(code: &str, stdout: &str) -> Entry {
    Entry::Cell(RecordedCell {
        code: code.into(),
        end: CellEnd::Raised,
        stdout: Output::of(stdout, 1000),
        stderr: Output::of("\0 \u{1b}[31m \u{202e}\r\n", 1000),
        value: Some("'v'".into()),
        error: Some("E: x".into()),
        rolled_back: true,
        unrestored: Some("too many".into()),
        full_output: Some("0".repeat(64)),
        calls: Some("1".repeat(64)),
        displays: vec![RecordedDisplay { mime: "image/png".into(), blob: "2".repeat(64) }],
        files_changed: vec!["a/b \n".into()],
    })
}

/// One of each kind.
fn entries() -> Vec<Entry> {
    vec![
        Entry::Started {
            python: "3.11.7".into(),
            imports: vec!["numpy".into()],
            policy: serde_json::json!({"kind": "nested", "check": 1.5, "n": u64::MAX}),
        },
        Entry::Uploaded { path: "data.csv".into(), blob: "1".repeat(64), bytes: 3 },
        cell("print('ä')", "ä\n"),
        Entry::Undone { cells: 1 },
        Entry::Branched { at: 2, into: "other".into() },
        Entry::Restored { differences: vec!["stdout line 1".into()] },
        Entry::Ended,
    ]
}

fn written(folder: &Path) -> Vec<Entry> {
    let mut journal = Journal::create(folder).unwrap();
    for (index, entry) in entries().iter().enumerate() {
        assert_eq!(journal.append(entry).unwrap(), index as u64);
    }
    journal.sync().unwrap();
    entries()
}

fn told(folder: &Path) -> String {
    Journal::open(folder).unwrap_err().to_string()
}

#[test]
fn what_was_written_comes_back_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("a/session");
    let expected = written(&folder);
    let (mut journal, records, cut) = Journal::open(&folder).unwrap();
    assert_eq!((records.iter().map(|record| record.entry.clone()).collect::<Vec<_>>(), cut), (expected, None));
    assert!(records.iter().enumerate().all(|(index, record)| record.sequence == index as u64));
    assert_eq!(journal.append(&cell("1", "")).unwrap(), 7);
    drop(journal);
    assert_eq!(Journal::open(&folder).unwrap().1.len(), 8);
    for (path, mode) in [("", 0o700), (BLOBS, 0o700), (EVENTS, 0o600)] {
        assert_eq!(folder.join(path).metadata().unwrap().permissions().mode() & 0o777, mode, "{path}");
    }
    assert!(matches!(Journal::create(&folder), Err(JournalError::NotEmpty { .. })));
}

#[test]
fn a_torn_last_line_is_cut_wherever_it_was_torn() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(EVENTS);
    written(folder.path());
    let whole = std::fs::read(&path).unwrap();
    let last = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    for length in last + 1..whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        let (mut journal, records, cut) = Journal::open(folder.path()).unwrap();
        assert_eq!((records.len(), cut), (6, Some(Cut { line: 7, bytes: length - last })));
        assert_eq!(journal.append(&Entry::Ended).unwrap(), 6);
        drop(journal);
        let (_, records, cut) = Journal::open(folder.path()).unwrap();
        assert_eq!((records.len(), cut), (7, None));
    }
    // Blocks that were allocated and never written.
    std::fs::write(&path, [&whole[..], &[0; 5000]].concat()).unwrap();
    let (_, records, cut) = Journal::open(folder.path()).unwrap();
    assert_eq!((records.len(), cut), (7, Some(Cut { line: 8, bytes: 5000 })));
    assert!(cut.unwrap().to_string().contains("line 8, 5000 bytes"));
}

#[test]
fn a_process_that_is_just_being_started_does_not_keep_a_journal() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::create(folder.path()).unwrap();
    // What a process has of its parent's files before it executes its program: the same open file.
    let inherited = journal.events.try_clone().unwrap();
    assert!(matches!(Journal::open(folder.path()), Err(JournalError::InUse { .. })));
    drop(journal);
    Journal::open(folder.path()).unwrap();
    drop(inherited);
}

#[test]
fn changed_lines_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(EVENTS);
    written(folder.path());
    let whole = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    let edited = |change: &dyn Fn(&mut Vec<String>)| {
        let mut lines: Vec<String> = lines.iter().map(|line| line.to_string()).collect();
        change(&mut lines);
        std::fs::write(&path, lines.join("\n") + "\n").unwrap();
        told(folder.path())
    };
    let message = edited(&|lines| lines[3] = lines[3].replace("\"cells\":1", "\"cells\":2"));
    assert!(message.contains("line 4: its check does not fit") && message.contains("hint: "), "{message}");
    let message = edited(&|lines| drop(lines.remove(1)));
    assert!(message.contains("line 2: its sequence number is 2, and 1 comes here"), "{message}");
    assert!(edited(&|lines| lines.swap(3, 4)).contains("line 4: its sequence"));
    assert!(edited(&|lines| lines.insert(2, String::new())).contains("line 3: it is too short"));
    assert!(edited(&|lines| lines[6] = "{}".repeat(40)).contains("line 7: it does not end with its check"));
    assert!(edited(&|lines| lines[2] = lines[2].replace("cell", "call")).contains("line 3: unknown variant `call`"));
    assert!(edited(&|lines| lines[0] = lines[0].replacen("python", "\0ython", 1)).contains("line 1: "));
    // A line from another journal, of the right number, does not fit the chain.
    let other = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(other.path()).unwrap();
    journal.append(&entries()[1]).unwrap();
    journal.append(&Entry::Ended).unwrap();
    let foreign = std::fs::read_to_string(other.path().join(EVENTS)).unwrap();
    let message = edited(&|lines| lines[1] = foreign.lines().nth(1).unwrap().to_string());
    assert!(message.contains("line 2: its check"), "{message}");
}

#[test]
fn any_bytes_give_an_answer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(EVENTS);
    written(folder.path());
    let whole = std::fs::read(&path).unwrap();
    for index in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[index] ^= 1 << (index % 8);
        std::fs::write(&path, &bytes).unwrap();
        // A bit that flips anywhere is found, but for the last line, which may look torn.
        if let Ok((_, records, cut)) = Journal::open(folder.path()) {
            assert!(cut.is_some() && records.len() == 6, "byte {index}: {cut:?}");
        }
    }
    std::fs::write(&path, [b'a'; 100]).unwrap();
    assert_eq!(Journal::open(folder.path()).unwrap().2, Some(Cut { line: 1, bytes: 100 }));
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("elsewhere", &path).unwrap();
    assert!(told(folder.path()).contains("opening"));
}

#[test]
fn a_journal_has_one_writer() {
    let folder = tempfile::tempdir().unwrap();
    let first = Journal::create(folder.path()).unwrap();
    let message = told(folder.path());
    assert!(message.contains("in use by another session\nhint: "), "{message}");
    drop(first);
    let barrier = std::sync::Barrier::new(4);
    let opened: Vec<bool> = std::thread::scope(|scope| {
        let open = || {
            let opened = Journal::open(folder.path());
            barrier.wait();
            opened.is_ok()
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(open)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(opened.iter().filter(|is_open| **is_open).count(), 1);
}

#[test]
fn blobs_are_what_their_name_says() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(folder.path()).unwrap();
    let content = "ä".repeat(100_000);
    let name = journal.put_blob(&mut content.as_bytes()).unwrap();
    assert_eq!(journal.put_blob(&mut content.as_bytes()).unwrap(), name);
    assert_eq!(std::io::read_to_string(journal.blob(&name).unwrap()).unwrap(), content);
    assert_eq!(std::fs::read_dir(folder.path().join(BLOBS)).unwrap().count(), 1);
    let told = |name: &str| journal.blob(name).unwrap_err().to_string();
    for bad in ["", "../events.jsonl", &name.to_uppercase(), &format!("{name}0")] {
        assert!(told(bad).contains("is not a SHA-256"), "{bad}");
    }
    assert!(told(&"0".repeat(64)).contains("is missing\nhint: "));
    let path = folder.path().join(BLOBS).join(&name);
    std::fs::write(&path, "other").unwrap();
    assert!(told(&name).contains("was changed"));
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert!(told(&name).contains("is not a file"));
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("cut off"))
        }
    }
    assert!(journal.put_blob(&mut Failing).is_err());
    assert_eq!(std::fs::read_dir(folder.path().join(BLOBS)).unwrap().count(), 1);
}

#[test]
fn what_could_not_be_read_again_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(folder.path()).unwrap();
    let long = journal.append(&cell(&"x".repeat(LINE_BYTES_MAX), "")).unwrap_err();
    assert!(matches!(long, JournalError::TooLong { .. }));
    let mut policy = serde_json::Value::Null;
    for _ in 0..200 {
        policy = serde_json::json!([policy]);
    }
    let deep = journal.append(&Entry::Started { python: String::new(), imports: Vec::new(), policy }).unwrap_err();
    assert!(matches!(deep, JournalError::Json { .. }), "{deep}");
    assert_eq!(journal.append(&Entry::Ended).unwrap(), 0);
}

/// Runs `a_full_disk_keeps_what_was_written` again, on a disk of its own.
const SMALL_DISK: &str = "CODEACT_TEST_SMALL_DISK";

#[test]
fn a_full_disk_keeps_what_was_written() {
    if let Some(disk) = std::env::var_os(SMALL_DISK) {
        return fill(Path::new(&disk));
    }
    let disk = tempfile::tempdir().unwrap();
    let probe = "mount -t tmpfs -o size=256k none \"$0\" || exit 77; exec \"$1\" --exact \"$2\" --nocapture";
    let test = "journal::tests::a_full_disk_keeps_what_was_written";
    let child = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", probe])
        .args([disk.path().as_os_str(), std::env::current_exe().unwrap().as_os_str(), test.as_ref()])
        .env(SMALL_DISK, disk.path())
        .output();
    let output = match child {
        Err(error) => return println!("skipped: unshare(1) does not run: {error}"),
        Ok(output) => output,
    };
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !stdout.contains("running 1 test") {
        return println!("skipped: no small disk can be mounted here: {}", stderr.trim());
    }
    assert!(output.status.success(), "{stdout}\n{stderr}");
}

fn fill(disk: &Path) {
    let folder = disk.join("session");
    let mut journal = Journal::create(&folder).unwrap();
    let mut count = 0;
    let full = loop {
        match journal.append(&cell("print('x')", &"x".repeat(900))) {
            Ok(sequence) => count = sequence + 1,
            Err(error) => break error,
        }
    };
    let JournalError::System { action: "writing", source, .. } = &full else {
        panic!("{full:?}");
    };
    assert_eq!(source.kind(), ErrorKind::StorageFull);
    assert!(count > 10, "{count}");
    assert!(journal.put_blob(&mut io::repeat(1).take(100_000)).is_err());
    drop(journal);
    let (mut journal, records, cut) = Journal::open(&folder).unwrap();
    assert_eq!((records.len() as u64, cut), (count, None), "the part of a line was taken back");
    // Remains that could not be taken back at once are taken back before the next line.
    std::fs::remove_dir(folder.join(BLOBS)).unwrap();
    OpenOptions::new().append(true).open(folder.join(EVENTS)).unwrap().write_all(b"{\"seq").unwrap();
    journal.has_remains = true;
    assert_eq!(journal.append(&Entry::Branched { at: 0, into: String::new() }).unwrap(), count);
    drop(journal);
    assert_eq!(Journal::open(&folder).unwrap().1.len() as u64, count + 1);
}
