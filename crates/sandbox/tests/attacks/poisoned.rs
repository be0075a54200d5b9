//! States of an interpreter that end every cell: they are given up, and nothing else is.

use crate::{policy, run, rung, see};
use codeact_sandbox::{CellEnd, Session, State};

/// Cells that a poisoned state may cost before it is given up.
const CELLS_MAX: usize = 4;

fn is_given_up(rung: codeact_sandbox::Rung, poison: &str) {
    let mut session = Session::start(&policy(rung, 1000)).unwrap();
    run(&mut session, "open('file', 'w').write('kept')");
    run(&mut session, poison);
    run(&mut session, "armed.append(True)");
    let mut states = Vec::new();
    while states.last() != Some(&State::Lost) {
        assert!(states.len() < CELLS_MAX, "never given up: {states:?} after {poison}");
        states.push(run(&mut session, "6 * 7").state);
    }
    let cell = run(&mut session, "6 * 7");
    assert_eq!((cell.value.text().as_deref(), cell.state), (Some("42"), State::Kept), "{states:?} after {poison}");
    assert!(see(&mut session, "armed").contains("NameError"), "the poison is still there");
    assert_eq!(see(&mut session, "open('file').read()"), "'kept'");
}

#[test]
fn a_state_that_ends_every_cell_is_given_up() {
    rung::on_each("poisoned::a_state_that_ends_every_cell_is_given_up", |rung| {
        // Hooks of Python code do not hear the runner; those of C cannot be kept from it.
        let hook = |event: &str, act: &str| {
            format!(
                "import ctypes, os, signal, time\narmed = []\n\
                 @ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p)\n\
                 def hook(event, arguments, own):\n    if armed and event == b'{event}':\n        {act}\n    return 0\n\
                 ctypes.pythonapi.PySys_AddAuditHook(hook, None)"
            )
        };
        is_given_up(rung, &hook("compile", "os._exit(9)"));
        is_given_up(rung, &hook("compile", "os.kill(os.getpid(), signal.SIGKILL)"));
        is_given_up(rung, &hook("compile", "signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(100)"));
        is_given_up(rung, &hook("exec", "os._exit(9)"));
    });
}

#[test]
fn a_state_that_cannot_be_copied_is_no_endless_loop() {
    rung::on_each("poisoned::a_state_that_cannot_be_copied_is_no_endless_loop", |rung| {
        for poison in [
            "import os, sys\nsys.addaudithook(lambda event, _: os._exit(9) if event == 'os.fork' else None)",
            "import os\nos.register_at_fork(before=lambda: os._exit(9))",
            "import os\nos.register_at_fork(after_in_child=lambda: os._exit(9))",
            "import os\nos.register_at_fork(after_in_parent=lambda: os._exit(9))",
            "import os, time\nos.register_at_fork(after_in_child=lambda: time.sleep(100))",
            "import os, threading\nthreading.Timer(0.05, os._exit, [9]).start()",
        ] {
            let mut session = Session::start(&policy(rung, 2000)).unwrap();
            run(&mut session, poison);
            std::thread::sleep(std::time::Duration::from_millis(100));
            let answered = (0..CELLS_MAX).any(|_| run(&mut session, "6 * 7").value.text().as_deref() == Some("42"));
            assert!(answered, "after {poison}");
        }
    });
}

#[test]
fn cells_that_are_killed_in_a_row_cost_no_variables() {
    rung::on_each("poisoned::cells_that_are_killed_in_a_row_cost_no_variables", |rung| {
        let mut session = Session::start(&policy(rung, 400)).unwrap();
        run(&mut session, "x = 41");
        let hangs = "import signal; signal.signal(2, signal.SIG_IGN)\nwhile True: pass";
        for code in ["import os; os._exit(1)", hangs].repeat(3) {
            let cell = run(&mut session, code);
            assert!(matches!(cell.end, CellEnd::Exited | CellEnd::TimedOut));
            assert_eq!(cell.state, State::RolledBack, "{code}");
        }
        assert_eq!(see(&mut session, "x + 1"), "42");
    });
}

/// The interpreter ends between two cells, and what runs in the new one ends that too.
#[test]
fn a_loss_is_told_by_a_cell_that_is_rolled_back() {
    rung::on_each("poisoned::a_loss_is_told_by_a_cell_that_is_rolled_back", |rung| {
        let mut session = Session::start(&policy(rung, 2000)).unwrap();
        run(&mut session, "import os, threading\nx = 1\nthreading.Timer(0.05, os._exit, [9]).start()");
        std::thread::sleep(std::time::Duration::from_millis(300));
        let cell = run(&mut session, "import os; os._exit(1)");
        assert_eq!((cell.end, cell.state), (CellEnd::Exited, State::Lost));
        assert!(see(&mut session, "x").contains("NameError"));
        assert_eq!(run(&mut session, "6 * 7").state, State::Kept);
    });
}
