use crate::{policy, run, see, start, start_if, start_with, value};
use codeact_sandbox::{Kind, Layer, Limits, Policy, Restored, Session, State};

#[test]
fn an_undone_cell_leaves_no_trace_in_variables_and_files() {
    let mut session = start();
    see(&mut session, "x = [1]\nopen('data', 'w').write('first')");
    see(
        &mut session,
        "x.append(2)\ndel __builtins__\nimport json\nopen('data', 'w').write('second')\nopen('more', 'w').close()",
    );
    assert_eq!(session.cells(), 2);
    assert_eq!(session.undo(1).unwrap(), Restored::Resumed);
    let code = "import os, sys\n(x, 'json' in globals(), open('data').read(), os.listdir())";
    assert_eq!(see(&mut session, code), "([1], False, 'first', ['data'])");
    assert_eq!(session.undo(2).unwrap(), Restored::Resumed);
    assert_eq!(see(&mut session, "import os\n('x' in globals(), os.listdir())"), "(False, [])");
    assert!(session.undo(2).unwrap_err().to_string().contains("has 1 that can be undone"));
}

#[test]
fn undo_goes_back_again_and_again() {
    let mut session = start();
    see(&mut session, "n = 0");
    for _ in 0..20 {
        assert_eq!(see(&mut session, "n += 1\nn"), "1");
        assert_eq!(session.undo(1).unwrap(), Restored::Resumed);
    }
    for number in 1..=6 {
        see(&mut session, &format!("n = {number}"));
    }
    assert_eq!(session.undo(3).unwrap(), Restored::Resumed);
    assert_eq!(see(&mut session, "n"), "3");
    assert_eq!(session.undo(3).unwrap(), Restored::Resumed);
    assert_eq!(see(&mut session, "n"), "1");
}

#[test]
fn open_files_go_on_where_they_were() {
    let mut session = start();
    see(&mut session, "log = open('log', 'w')\nlog.write('a')\nlog.flush()");
    see(&mut session, "log.write('bb')\nlog.flush()");
    session.undo(1).unwrap();
    assert_eq!(see(&mut session, "log.write('c')\nlog.close()\nopen('log').read()"), "'ac'");
}

#[test]
fn beyond_the_kept_states_cells_are_run_again() {
    let mut session = start_with(Limits { checkpoints_max: 2, ..Limits::default() });
    see(&mut session, "import os\nn = 1\npid = os.getpid()");
    for _ in 0..5 {
        see(&mut session, "n += 1\nopen('n', 'w').write(str(n))");
    }
    let Restored::Replayed { reason, differences } = session.undo(5).unwrap() else {
        panic!("there should be no such state any more");
    };
    assert!(reason.contains("given up"), "{reason}");
    assert_eq!(differences, Vec::<String>::new());
    assert_eq!(see(&mut session, "n, os.listdir()"), "(1, [])");
}

#[test]
fn running_threads_are_named_as_the_reason_to_run_cells_again() {
    let mut session = start();
    let code = "import threading, time, os\nx = os.urandom(4).hex()\nprint('cell')\n\
                threading.Thread(target=time.sleep, args=(1000,), daemon=True, name='ticker').start()\nx";
    see(&mut session, code);
    see(&mut session, "x = 2");
    let Restored::Replayed { reason, differences } = session.undo(1).unwrap() else {
        panic!("a thread cannot be brought back");
    };
    assert!(reason.contains("ticker"), "{reason}");
    assert_eq!(differences.len(), 1, "{differences:?}");
    assert!(differences[0].starts_with("cell 1: "), "{differences:?}");
    assert_eq!(see(&mut session, "type(x).__name__, threading.active_count()"), "('str', 2)");
}

#[test]
fn branches_go_their_own_ways() {
    let mut session = start();
    see(&mut session, "import random\nr = random.random()\nx = 'base'\nopen('f', 'w').write('base')");
    let number = see(&mut session, "r");
    see(&mut session, "x = 'trunk'\nopen('f', 'w').write('trunk')");
    let (mut branch, how) = session.branch(2).unwrap();
    assert_eq!(how, Restored::Resumed);
    assert_eq!((branch.cells(), session.cells()), (2, 3));
    assert_eq!(see(&mut branch, "x, open('f').read()"), "('base', 'base')");
    assert_eq!(see(&mut branch, "r"), number, "the state itself, not a second run");
    see(&mut branch, "x = 'branch'\nopen('f', 'w').write('branch')\nopen('only', 'w').close()");
    assert_eq!(see(&mut session, "import os\nx, open('f').read(), os.listdir()"), "('trunk', 'trunk', ['f'])");
    assert_eq!(
        see(&mut branch, "import os\nx, open('f').read(), sorted(os.listdir())"),
        "('branch', 'branch', ['f', 'only'])"
    );
    let (mut now, _) = branch.branch(branch.cells()).unwrap();
    assert_eq!(see(&mut now, "x"), "'branch'");
    // Undo, death and rollback of one do not touch the other.
    session.undo(1).unwrap();
    assert_eq!(run(&mut branch, "os._exit(1)").state, State::RolledBack);
    assert_eq!(see(&mut branch, "x"), "'branch'");
    drop(branch);
    assert_eq!(see(&mut session, "x"), "'trunk'");
    assert_eq!(see(&mut now, "x, open('f').read()"), "('branch', 'branch')");
}

#[test]
fn a_thread_of_one_branch_rests_while_another_runs() {
    let mut session = start();
    see(&mut session, "n = 0");
    let (mut branch, _) = session.branch(1).unwrap();
    let code = "import threading, time\ndef count():\n    global n\n    while True:\n        n += 1\n        time.sleep(0.001)\n\
                threading.Thread(target=count, daemon=True).start()";
    see(&mut session, code);
    assert_eq!(see(&mut branch, "import time\ntime.sleep(0.3)\nn"), "0");
    let before: u64 = see(&mut session, "n").parse().unwrap();
    assert!(before < 250, "{before}");
    let after: u64 = see(&mut session, "time.sleep(0.1)\nn").parse().unwrap();
    assert!(after > before, "{after}");
}

#[test]
fn a_large_array_is_shared_with_its_checkpoints() {
    let mut session = start_with(Limits { memory_bytes_max: 600 << 20, ..Limits::default() });
    see(&mut session, "big = bytearray(b'x') * (200 << 20)");
    for _ in 0..6 {
        see(&mut session, "1");
    }
    assert_eq!(value(&run(&mut session, "big[0] = 1\nlen(big)")).as_deref(), Some("209715200"));
    session.undo(1).unwrap();
    assert_eq!(see(&mut session, "big[0]"), "120");
}

/// Defines `count`, the number of processes of the session.
const COUNT: &str = "import os, threading, time\ncount = lambda: sum(name.isdigit() for name in os.listdir('/proc'))";

#[test]
fn states_that_cannot_be_gone_back_to_are_not_kept() {
    let Some(mut session) = start_if(Layer::Signals) else { return };
    see(&mut session, COUNT);
    // While it sleeps, there is nothing to be kept.
    see(&mut session, "threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()");
    let before: usize = see(&mut session, "count()").parse().unwrap();
    (0..10).for_each(|_| drop(see(&mut session, "1")));
    let after: usize = see(&mut session, "count()").parse().unwrap();
    // The last ones may be about to go.
    assert!(after < before + 5, "{before} processes, and {after} ten cells later");
}

#[test]
fn branches_and_undone_states_leave_nothing_behind() {
    let mut session = start_with(Limits { checkpoints_max: 2, ..Limits::default() });
    if !session.protection().holds(Layer::Signals) {
        return println!("skipped: Signals does not hold on this host");
    }
    see(&mut session, COUNT);
    (0..3).for_each(|_| drop(see(&mut session, "1")));
    // The least of many: a state that is no longer kept takes a moment to be gone.
    let pause = || std::thread::sleep(std::time::Duration::from_millis(10));
    let counts = (0..20).map(|_| {
        pause();
        see(&mut session, "count()").parse::<usize>().unwrap()
    });
    let before = counts.min().unwrap();
    for _ in 0..5 {
        see(&mut session, "1");
        session.undo(1).unwrap();
        let (mut branch, _) = session.branch(session.cells()).unwrap();
        (0..3).for_each(|_| drop(see(&mut branch, "open('file', 'a').write('x')")));
    }
    // What was killed takes a moment to be gone.
    let mut after = 0;
    let is_as_before = (0..100).any(|_| {
        pause();
        after = see(&mut session, "count()").parse().unwrap();
        after == before
    });
    assert!(is_as_before, "{before} processes before and {after} after");
    assert_eq!(see(&mut session, "os.listdir()"), "[]");
}

#[test]
fn memory_of_kept_states_is_bounded() {
    let kept = |checkpoint_bytes_max: u64, code: &str| {
        let mut session = start_with(Limits { checkpoint_bytes_max, ..Limits::default() });
        see(&mut session, "big = bytearray(b'x') * (40 << 20)");
        for _ in 0..7 {
            see(&mut session, code);
        }
        (session.undo(1).unwrap(), session.undo(5).unwrap(), see(&mut session, "len(big) >> 20"))
    };
    let is_resumed = |how: &Restored| *how == Restored::Resumed;
    // Each cell writes to all of the forty megabytes, or to none.
    let writes = "big[:] = bytes(range(256)) * (40 << 12)";
    let (newest, older, big) = kept(1 << 30, writes);
    assert!(is_resumed(&newest) && is_resumed(&older) && big == "40", "{newest:?} {older:?}");
    let (newest, older, big) = kept(100 << 20, "1");
    assert!(is_resumed(&newest) && is_resumed(&older) && big == "40", "{newest:?} {older:?}");
    let (newest, older, big) = kept(100 << 20, writes);
    assert!(is_resumed(&newest) && big == "40", "{newest:?}");
    assert!(matches!(&older, Restored::Replayed { reason, .. } if reason.contains("given up")), "{older:?}");
}

/// A session whose snapshots have less room than [`TOO_LARGE`] takes.
fn start_narrow() -> Session {
    start_with(Limits { checkpoint_bytes_max: 32 << 20, ..Limits::default() })
}

const TOO_LARGE: &str = "import os\nx = 5\nwith open('big', 'wb') as f:\n    f.write(os.urandom(40 << 20))";
const WHY: &str = "the workspace has more than 33554432 bytes to keep, so its files cannot be undone";

#[test]
fn a_rollback_says_when_files_were_not_kept() {
    let mut session = start_narrow();
    see(&mut session, TOO_LARGE);
    let cell = run(&mut session, "x = 6\nopen('more', 'w').close()\nos._exit(1)");
    assert_eq!((cell.state, cell.unrestored.as_deref()), (State::RolledBack, Some(WHY)));
    let said = format!("[Variables are as they were before this cell, files are not: {WHY}.]");
    assert!(cell.observation(1000).ends_with(&said), "{}", cell.observation(1000));
    assert_eq!(see(&mut session, "x, sorted(os.listdir())"), "(5, ['big', 'more'])");
    see(&mut session, "os.remove('big')");
    let cell = run(&mut session, "os.remove('more')\nos._exit(1)");
    assert_eq!((cell.state, cell.unrestored.as_deref()), (State::RolledBack, None));
    assert_eq!(see(&mut session, "os.listdir()"), "['more']");
}

#[test]
fn undo_and_branch_say_when_files_were_not_kept() {
    let mut session = start_narrow();
    see(&mut session, TOO_LARGE);
    see(&mut session, "os.remove('big')\nx = 6");
    let without = Restored::WithoutFiles { reason: WHY.to_string() };
    let (mut branch, how) = session.branch(1).unwrap();
    assert_eq!(how, without);
    assert_eq!(see(&mut branch, "x, os.listdir()"), "(5, [])");
    assert_eq!(session.undo(1).unwrap(), without);
    assert_eq!(see(&mut session, "x, os.listdir()"), "(5, [])");
    assert_eq!(session.undo(2).unwrap(), Restored::Resumed, "at the start there was nothing to keep");
}

#[test]
fn cells_that_are_run_again_say_when_files_were_not_kept() {
    let limits = Limits { checkpoint_bytes_max: 32 << 20, checkpoints_max: 0, ..Limits::default() };
    let mut session = start_with(limits);
    see(&mut session, TOO_LARGE);
    see(&mut session, "y = 6");
    let Restored::Replayed { differences, .. } = session.undo(1).unwrap() else { panic!("there are no checkpoints") };
    assert_eq!(differences, [format!("files: {WHY}")]);
    assert_eq!(see(&mut session, "x, 'y' in globals()"), "(5, False)");
}

#[test]
fn a_loss_says_when_files_are_gone_too() {
    let limits = Limits { checkpoint_bytes_max: 32 << 20, checkpoints_max: 0, ..Limits::default() };
    let mut session = start_with(limits);
    let cell = run(&mut session, &format!("{TOO_LARGE}\nos._exit(1)"));
    assert_eq!((cell.state, cell.unrestored.as_deref()), (State::Lost, Some(WHY)));
    let said = format!("[Python was restarted and all variables are lost. Files are not as they were: {WHY}.]");
    assert!(cell.observation(1000).ends_with(&said), "{}", cell.observation(1000));
    let cell = run(&mut session, "import os\nos.listdir()");
    assert_eq!((cell.observation(1000).as_str(), cell.unrestored), ("[]", None));
}

#[test]
fn a_folder_of_the_user_is_taken_back_by_undo_and_not_by_a_rollback() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let mut session = Session::start(&Policy { workspace: Some(folder.path().to_path_buf()), ..policy() }).unwrap();
    see(&mut session, "import os\nx = 1");
    see(&mut session, "x = 2\nopen('notes', 'w').write('of the cell')");
    // The user works in it while the cell runs.
    let code = "x = 3\nopen('made', 'w').close()\nprint('go', flush=True)\nwhile not os.path.exists('go'):\n    pass\nos._exit(1)";
    let cell = session.run(code, &mut |event| {
        if let Kind::Output { .. } = event.kind {
            std::fs::write(at("notes"), "of the user").unwrap();
            std::fs::write(at("go"), "").unwrap();
        }
    });
    let said = "[Variables are as they were before this cell, files are not: \
                the workspace is a folder of the user, which is left as it is.]";
    let text = cell.unwrap().observation(1000);
    assert!(text.ends_with(said), "{text}");
    assert_eq!(std::fs::read_to_string(at("notes")).unwrap(), "of the user");
    assert!(at("made").exists());
    assert_eq!(see(&mut session, "x"), "2");
    let text = run(&mut session, "os._exit(1)").observation(1000);
    assert!(text.ends_with("[Variables and files are as they were before this cell.]"), "{text}");
    assert_eq!(session.undo(2).unwrap(), Restored::Resumed);
    assert_eq!(see(&mut session, "x, os.listdir()"), "(1, [])");
}
