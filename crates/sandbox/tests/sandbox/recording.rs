use crate::{policy, run, see, value};
use codeact_sandbox::skills::{Added, Candidate, SkillStore};
use codeact_sandbox::{CellEnd, Limits, Policy, Restored, SandboxError, Session, State};
use std::path::Path;
use std::time::Duration;

#[test]
fn a_recorded_session_comes_back_with_variables_and_files() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("session");
    let mut session = Session::start_recorded(&policy(), &place).unwrap();
    session.upload("in/data.txt", &mut &b"20"[..], 100).unwrap();
    see(&mut session, "n = int(open('in/data.txt').read())\nopen('out.txt', 'w').write('made')");
    see(&mut session, "n += 1000");
    session.undo(1).unwrap();
    assert_eq!(run(&mut session, "import os\nos._exit(1)").state, State::RolledBack);
    see(&mut session, "n += 22\nimport time\nprint(time.time_ns(), object())");
    drop(session);
    let (mut session, recovery) = Session::restore(&policy(), &place).unwrap();
    assert_eq!(recovery.cells, 2);
    assert_eq!(recovery.differences.len(), 1, "{recovery:?}");
    assert!(recovery.differences[0].starts_with("cell 2: "), "{recovery:?}");
    assert_eq!(see(&mut session, "n, open('out.txt').read()"), "(42, 'made')");
    session.undo(2).unwrap();
    see(&mut session, "n *= 2");
    session.end().unwrap();
    let (mut session, recovery) = Session::restore(&policy(), &place).unwrap();
    assert_eq!(recovery.cells, 2);
    assert_eq!(see(&mut session, "n"), "40");
}

#[test]
fn a_journal_that_was_cut_or_changed_is_recognised() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("session");
    let mut session = Session::start_recorded(&policy(), &place).unwrap();
    see(&mut session, "x = 1");
    see(&mut session, "x = 2");
    assert!(matches!(Session::restore(&policy(), &place), Err(SandboxError::Journal(_))), "two hosts at once");
    drop(session);
    let events = place.join("events.jsonl");
    let text = std::fs::read(&events).unwrap();
    std::fs::write(&events, &text[..text.len() - 5]).unwrap();
    let (mut session, recovery) = Session::restore(&policy(), &place).unwrap();
    assert!(recovery.cut.is_some());
    assert_eq!(see(&mut session, "x"), "1");
    drop(session);
    let text = std::fs::read_to_string(&events).unwrap();
    std::fs::write(&events, text.replacen("x = 1", "x = 7", 1)).unwrap();
    assert!(matches!(Session::restore(&policy(), &place), Err(SandboxError::Journal(_))));
}

#[test]
fn files_that_stayed_when_variables_went_back_are_told_to_be_missing() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("session");
    let limits = Limits { checkpoint_bytes_max: 32 << 20, ..Limits::default() };
    let narrow = Policy { limits, ..policy() };
    let mut session = Session::start_recorded(&narrow, &place).unwrap();
    see(&mut session, "import os\nwith open('big', 'wb') as f:\n    f.write(os.urandom(40 << 20))");
    let cell = run(&mut session, "open('more', 'w').close()\nos._exit(1)");
    assert!(cell.state == State::RolledBack && cell.unrestored.is_some(), "{cell:?}");
    drop(session);
    let (mut session, recovery) = Session::restore(&narrow, &place).unwrap();
    assert_eq!(recovery.differences.len(), 1, "{recovery:?}");
    assert!(recovery.differences[0].contains("bytes to keep"), "{recovery:?}");
    assert_eq!(see(&mut session, "os.listdir()"), "['big']");
}

#[test]
fn what_was_lost_is_not_run_again() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("session");
    let without = Policy { limits: Limits { checkpoints_max: 0, ..Limits::default() }, ..policy() };
    let mut session = Session::start_recorded(&without, &place).unwrap();
    see(&mut session, "x = 1\nimport os\nos.mkdir('d')\nopen('d/kept', 'w').write('y')");
    assert_eq!(run(&mut session, "import os\nos._exit(1)").state, State::Lost);
    see(&mut session, "z = 3");
    drop(session);
    let (mut session, recovery) = Session::restore(&policy(), &place).unwrap();
    assert_eq!((recovery.cells, recovery.differences), (1, Vec::new()));
    assert_eq!(see(&mut session, "z, 'x' in globals(), open('d/kept').read()"), "(3, False, 'y')");
}

/// A session whose Python ends between two cells: its second cell runs in a fresh one. `k` grows with every cell.
fn session_with_a_loss(place: &Path) -> Session {
    let mut session = Session::start_recorded(&policy(), place).unwrap();
    // The thread waits for the file, so that the cell has ended before it exits. A thread also means no checkpoint.
    let code = "import os, threading, time\ndef leave():\n    while not os.path.exists('go'):\n        time.sleep(0.01)\n    \
                os.remove('go')\n    os._exit(0)\nthreading.Thread(target=leave).start()\nk = ['first']";
    see(&mut session, code);
    let files = session.files();
    files.write("go", &mut std::io::empty(), 10).unwrap();
    while files.read("go", 10).is_ok() {
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_millis(500));
    let cell = run(&mut session, "k = globals().get('k', []) + ['second']\nk");
    if cell.state != State::Lost {
        // On a loaded machine it takes longer to end.
        drop(session);
        std::fs::remove_dir_all(place).unwrap();
        return session_with_a_loss(place);
    }
    assert_eq!(value(&cell).as_deref(), Some("['second']"));
    assert_eq!(see(&mut session, "k.append('third')\nk"), "['second', 'third']");
    session
}

#[test]
fn the_cell_that_found_a_fresh_python_is_run_again() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("session");
    assert_eq!(session_with_a_loss(&place).cells(), 3);
    let (mut session, recovery) = Session::restore(&policy(), &place).unwrap();
    assert_eq!((recovery.cells, recovery.differences, session.cells()), (2, Vec::new(), 3));
    assert_eq!(see(&mut session, "k"), "['second', 'third']");
}

#[test]
fn undo_goes_back_beyond_a_loss_and_that_is_written_down() {
    let folder = tempfile::tempdir().unwrap();
    let (trunk, side) = (folder.path().join("trunk"), folder.path().join("side"));
    let mut session = session_with_a_loss(&trunk);
    let (mut branch, how) = session.branch_recorded(1, &side).unwrap();
    assert!(matches!(how, Restored::Resumed), "before the first cell behind the loss, all is lost: {how:?}");
    assert_eq!(see(&mut branch, "'k' in globals()"), "False");
    assert_eq!(session.undo(2).unwrap(), Restored::Resumed);
    assert_eq!(see(&mut session, "'k' in globals()"), "False");
    see(&mut session, "k = ['other']");
    drop((session, branch));

    let (mut session, _) = Session::restore(&policy(), &trunk).unwrap();
    assert_eq!((see(&mut session, "k").as_str(), session.cells()), ("['other']", 4));
    assert!(matches!(session.undo(4).unwrap(), Restored::Replayed { .. }), "to before the loss");
    assert_eq!(see(&mut session, "'k' in globals()"), "False");
    drop(session);
    let (session, recovery) = Session::restore(&policy(), &trunk).unwrap();
    assert_eq!((recovery.cells, session.cells()), (1, 1));
    let (mut branch, recovery) = Session::restore(&policy(), &side).unwrap();
    assert_eq!((recovery.cells, branch.cells()), (1, 2));
    assert_eq!(see(&mut branch, "'k' in globals()"), "False");
}

#[test]
fn a_cell_that_was_stopped_before_it_ran_is_not_run_later() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("session");
    let mut session = Session::start_recorded(&policy(), &place).unwrap();
    session.interrupter().interrupt();
    assert_eq!(run(&mut session, "x = 1").end, CellEnd::Interrupted);
    assert_eq!((see(&mut session, "'x' in globals()").as_str(), session.cells()), ("False", 1));
    drop(session);
    let (mut session, recovery) = Session::restore(&policy(), &place).unwrap();
    assert_eq!((recovery.cells, recovery.differences), (1, Vec::new()));
    assert_eq!(see(&mut session, "'x' in globals()"), "False");
}

#[test]
fn a_python_that_is_killed_while_cells_are_run_again_does_not_leave_half_of_them() {
    for checkpoints_max in [0, 8] {
        let (folder, workspace) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let place = folder.path().join("session");
        let limits = Limits { checkpoints_max, ..Limits::default() };
        let here = Policy { limits, workspace: Some(workspace.path().to_path_buf()), ..policy() };
        let mut session = Session::start_recorded(&here, &place).unwrap();
        see(&mut session, "x = 1");
        // A folder of the host tells how often this was run. The second time it dies.
        let code =
            "import os\nn = len(os.listdir())\nopen(f'run-{n}', 'w').close()\nif n == 1:\n    os._exit(1)\nx += 1";
        see(&mut session, code);
        drop(session);
        let (mut session, recovery) = Session::restore(&here, &place).unwrap();
        assert_eq!((recovery.cells, recovery.differences, session.cells()), (2, Vec::new(), 2));
        assert_eq!(see(&mut session, "x, n"), "(2, 2)");
    }
}

#[test]
fn cells_that_were_run_again_keep_their_place_in_the_journal() {
    let folder = tempfile::tempdir().unwrap();
    let (trunk, side) = (folder.path().join("trunk"), folder.path().join("side"));
    let without = Policy { limits: Limits { checkpoints_max: 0, ..Limits::default() }, ..policy() };
    let mut session = Session::start_recorded(&without, &trunk).unwrap();
    for code in ["k = [1]", "k.append(2)", "k.append(3)", "k.append(4)"] {
        see(&mut session, code);
    }
    assert!(matches!(session.undo(1).unwrap(), Restored::Replayed { .. }));
    drop(session.branch_recorded(2, &side).unwrap());
    let (mut branch, recovery) = Session::restore(&policy(), &side).unwrap();
    assert_eq!((recovery.cells, recovery.differences), (2, Vec::new()));
    assert_eq!(see(&mut branch, "k"), "[1, 2]");
}

#[test]
fn a_branch_has_a_journal_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let (trunk, side) = (folder.path().join("trunk"), folder.path().join("side"));
    let mut session = Session::start_recorded(&policy(), &trunk).unwrap();
    session.upload("data", &mut &b"7"[..], 100).unwrap();
    see(&mut session, "x = int(open('data').read())");
    see(&mut session, "x = 'trunk'");
    let (mut branch, _) = session.branch_recorded(1, &side).unwrap();
    see(&mut branch, "x += 1");
    drop((session, branch));
    let (mut branch, recovery) = Session::restore(&policy(), &side).unwrap();
    assert_eq!((recovery.cells, recovery.differences), (2, Vec::new()));
    assert_eq!(see(&mut branch, "x"), "8");
    let (mut session, _) = Session::restore(&policy(), &trunk).unwrap();
    assert_eq!(see(&mut session, "x"), "'trunk'");
}

#[test]
fn a_skill_is_kept_only_if_its_tests_pass_in_a_fresh_session() {
    let folder = tempfile::tempdir().unwrap();
    let store = SkillStore::open(folder.path()).unwrap();
    let candidate = |source: &str| Candidate {
        name: "celsius".to_string(),
        signature: "(fahrenheit: float) -> float".to_string(),
        doc: "Convert a temperature.".to_string(),
        source: source.to_string(),
        tests: "assert celsius(212) == 100".to_string(),
    };
    let wrong = candidate("def celsius(fahrenheit):\n    return fahrenheit - 32");
    let Added::Rejected(reason) = Session::learn(&policy(), &store, &wrong).unwrap() else { panic!("it is wrong") };
    assert!(reason.contains("AssertionError"), "{reason}");
    let endless = candidate("def celsius(fahrenheit):\n    while True:\n        pass");
    let short = Policy { limits: Limits { wall_ms_max: 300, ..Limits::default() }, ..policy() };
    assert!(matches!(Session::learn(&short, &store, &endless).unwrap(), Added::Rejected(_)));
    let right = candidate("def celsius(fahrenheit):\n    return (fahrenheit - 32) / 9 * 5");
    assert!(matches!(Session::learn(&policy(), &store, &right).unwrap(), Added::Stored { version: 1 }));
    let found = store.search("convert temperature", 3).unwrap();
    assert_eq!(found.hits.iter().map(|hit| hit.skill.name.as_str()).collect::<Vec<_>>(), ["celsius"]);
    let mut session = Session::start(&policy()).unwrap();
    assert_eq!(run(&mut session, &store.prelude(&["celsius"]).unwrap()).end, CellEnd::Finished);
    assert_eq!(see(&mut session, "celsius(32)"), "0.0");
}
