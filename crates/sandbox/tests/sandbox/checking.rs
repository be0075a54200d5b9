use crate::{see, start};
use codeact_sandbox::{Interpreter, Restored, State};
use std::time::{Duration, Instant};

#[test]
fn code_that_is_no_python_is_known_before_it_runs() {
    let mut session = start();
    assert_eq!(session.check("x = 1\n!ls\nawait f()").unwrap(), None);
    let error = session.check("x = (").unwrap().unwrap();
    assert_eq!((error.name.as_str(), error.message.as_str()), ("SyntaxError", "'(' was never closed"));
    assert!(error.traceback.starts_with("  File \"<cell>\", line 1\n    x = (\n"), "{}", error.traceback);
    // As the cell itself says it.
    assert_eq!(see(&mut session, "x = ("), error.traceback);
}

#[test]
fn a_check_is_no_cell_and_changes_nothing() {
    let mut session = start();
    see(&mut session, "x = 1");
    for code in ["x = 2", "x = (", "raise SystemExit", "import os; os._exit(1)", "'\\d'"] {
        session.check(code).unwrap();
    }
    assert_eq!((session.cells(), see(&mut session, "x").as_str()), (1, "1"));
    assert_eq!(session.undo(2).unwrap(), Restored::Resumed);
    assert_eq!(see(&mut session, "'x' in globals()"), "False");
}

#[test]
fn a_branch_and_its_origin_can_both_be_asked() {
    let mut session = start();
    see(&mut session, "x = 1");
    let (mut branch, _) = session.branch(1).unwrap();
    assert!(branch.check("x = (").unwrap().is_some());
    assert!(Interpreter::check(&mut session, "x = (").unwrap().is_some());
    assert_eq!(see(&mut branch, "x"), "1");
}

#[test]
fn an_interpreter_that_cannot_answer_leaves_it_to_the_cell() {
    let mut session = start();
    // Gone between two cells.
    see(&mut session, "import os, threading, time\nx = 5\nthreading.Timer(0.05, os._exit, [1]).start()");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(session.check("x = (").unwrap(), None);
    let cell = session.run("'x' in globals()", &mut |_| {}).unwrap();
    assert!(matches!(cell.state, State::Kept | State::Lost), "{cell:?}");

    let mut session = start();
    assert_eq!(session.check(&format!("x = '{}", "a".repeat(300 << 10))).unwrap(), None, "it is too large");
    assert_eq!(see(&mut session, "1"), "1");
}

#[test]
fn code_that_takes_too_long_to_compile_costs_a_bounded_time() {
    let mut session = start();
    see(&mut session, "x = 5");
    // Powers of whole numbers are folded while compiling, one after another, up to a bound on each.
    let code = "y = 3 ** 60\n".repeat(20_000);
    let begun = Instant::now();
    session.check(&code).unwrap();
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_eq!(see(&mut session, "x"), "5");
}
