use crate::{run, see, start, start_with, value};
use codeact_sandbox::{Cell, CellEnd, Layer, Limits, Session, State};
use std::time::{Duration, Instant};

fn short() -> Limits {
    Limits { wall_ms_max: 300, ..Limits::default() }
}

fn interrupt_when_printed(session: &mut Session, code: &str) -> Cell {
    let interrupter = session.interrupter();
    session.run(code, &mut |_| interrupter.interrupt()).unwrap()
}

#[test]
fn an_endless_loop_times_out_and_keeps_the_variables() {
    let mut session = start_with(short());
    see(&mut session, "x = 5");
    let cell = run(&mut session, "while True:\n    pass");
    assert_eq!((cell.end, cell.state), (CellEnd::TimedOut, State::Kept));
    let text = cell.observation(1000);
    assert!(text.ends_with("KeyboardInterrupt\n[Execution timed out.]"), "{text}");
    assert_eq!(see(&mut session, "x"), "5");
}

#[test]
fn a_cell_that_ignores_sigint_is_killed_and_had_no_effect() {
    let mut session = start_with(short());
    see(&mut session, "x = 5\nopen('kept', 'w').write('before')");
    let code = "import signal, os\nx = 6\nopen('kept', 'w').close()\nopen('new', 'w').close()\n\
                signal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True:\n    pass";
    let cell = run(&mut session, code);
    assert_eq!((cell.end, cell.state), (CellEnd::TimedOut, State::RolledBack));
    assert!(
        cell.observation(1000)
            .ends_with("[Execution timed out. Variables and files are as they were before this cell.]")
    );
    let cell = run(&mut session, "(x, open('kept').read(), 'signal' in globals(), __import__('os').listdir())");
    assert_eq!(value(&cell).as_deref(), Some("(5, 'before', False, ['kept'])"));
    let cell = run(&mut session, "1");
    assert_eq!((cell.end, cell.state), (CellEnd::Finished, State::Kept));
}

#[test]
fn a_sleeping_child_process_is_interrupted_too() {
    let mut session = start_with(short());
    let begin = Instant::now();
    let cell = run(&mut session, "import subprocess\nsubprocess.run(['sleep', '1000'])");
    assert_eq!((cell.end, cell.state), (CellEnd::TimedOut, State::Kept));
    assert!(begin.elapsed() < Duration::from_secs(2));
}

#[test]
fn an_interrupt_from_outside_ends_the_cell_and_keeps_the_variables() {
    let mut session = start();
    let cell = interrupt_when_printed(&mut session, "x = 1\nprint('go')\nimport time\ntime.sleep(1000)");
    assert_eq!((cell.end, cell.state), (CellEnd::Interrupted, State::Kept));
    assert!(cell.observation(1000).ends_with("[Execution was interrupted.]"));
    assert_eq!(see(&mut session, "x"), "1");
}

#[test]
fn an_interrupt_that_is_caught_still_ends_in_interrupted() {
    let mut session = start();
    let code = "import time\ntry:\n    print('go')\n    time.sleep(1000)\nexcept KeyboardInterrupt:\n    y = 2";
    assert_eq!(interrupt_when_printed(&mut session, code).end, CellEnd::Interrupted);
    assert_eq!(see(&mut session, "y"), "2");
}

#[test]
fn an_interrupt_between_cells_waits_for_the_next_one_unless_cleared() {
    let mut session = start();
    session.interrupter().interrupt();
    assert_eq!(run(&mut session, "while True:\n    pass").end, CellEnd::Interrupted);
    assert_eq!(see(&mut session, "1 + 1"), "2");
    session.interrupter().interrupt();
    session.interrupter().clear();
    assert_eq!(see(&mut session, "import time\ntime.sleep(0.1)\n1 + 2"), "3");
}

#[test]
fn os_exit_and_crashes_are_reported_and_the_state_before_comes_back() {
    let mut session = start();
    let deaths = [
        (
            "import os\nprint('last words', flush=True)\nos._exit(3)",
            "last words\n[The Python process ended: exit code 3.]",
        ),
        ("import ctypes\nctypes.string_at(0)", "[The Python process ended: signal SIGSEGV.]"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "[The Python process ended: signal SIGKILL.]"),
    ];
    for (code, expected) in deaths {
        see(&mut session, "x = 1");
        let cell = run(&mut session, code);
        assert_eq!((cell.end, cell.state), (CellEnd::Exited, State::RolledBack));
        let back = "[Variables and files are as they were before this cell.]";
        assert_eq!(cell.observation(1000), format!("{expected}\n{back}"));
        assert_eq!(see(&mut session, "x"), "1");
    }
}

#[test]
fn without_checkpoints_a_crash_loses_the_variables_and_keeps_the_files() {
    let mut session = start_with(Limits { checkpoints_max: 0, ..Limits::default() });
    see(&mut session, "x = 1\nopen('kept', 'w').write('y')");
    let cell = run(&mut session, "import os\nos._exit(3)");
    assert_eq!((cell.end, cell.state), (CellEnd::Exited, State::Lost));
    let expected = "[The Python process ended: exit code 3.]\n[Python was restarted and all variables are lost.]";
    assert_eq!(cell.observation(1000), expected);
    assert_eq!(see(&mut session, "'x' in globals(), open('kept').read()"), "(False, 'y')");
}

#[test]
fn after_a_loss_states_are_kept_again() {
    let mut session = start();
    let code = "import threading, time\nthreading.Thread(target=time.sleep, args=(1000,), daemon=True).start()";
    see(&mut session, code);
    let dies = "import os\nos._exit(1)";
    assert_eq!(run(&mut session, dies).state, State::Lost, "a thread cannot be brought back");
    see(&mut session, "x = 1");
    assert_eq!(run(&mut session, dies).state, State::RolledBack);
    assert_eq!(see(&mut session, "x"), "1");
}

#[test]
fn a_python_that_ends_between_two_cells_is_replaced_and_the_loss_reported() {
    let mut session = start();
    // The thread waits for the file, so that the cell has ended before it exits. A thread also means no checkpoint.
    let code = "import os, threading, time\ndef leave():\n    while not os.path.exists('go'):\n        time.sleep(0.01)\n    \
                os.remove('go')\n    os._exit(0)\nthreading.Thread(target=leave).start()";
    see(&mut session, code);
    let files = session.files();
    files.write("go", &mut std::io::empty(), 10).unwrap();
    // A cell that runs when it ends would end with it.
    while files.read("go", 10).is_ok() {
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_millis(200));
    let seen = (0..200).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        let cell = run(&mut session, "1 + 1");
        assert_eq!((cell.end, value(&cell).as_deref()), (CellEnd::Finished, Some("2")));
        cell.state == State::Lost
    });
    assert!(seen);
}

#[test]
fn an_exit_with_a_child_that_holds_every_descriptor_is_noticed() {
    let mut session = start();
    let begin = Instant::now();
    let cell = run(&mut session, "import os, time\nif os.fork() == 0:\n    time.sleep(1000)\nos._exit(0)");
    assert_eq!(cell.end, CellEnd::Exited);
    assert!(begin.elapsed() < Duration::from_secs(5));
}

#[test]
fn exit_and_other_base_exceptions_end_the_cell_and_keep_the_variables() {
    let mut session = start();
    see(&mut session, "x = 1");
    for (code, line) in [
        ("exit()", "SystemExit: None"),
        ("import sys\nsys.exit('bye')", "SystemExit: bye"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("class E(BaseException):\n    pass\nraise E(1)", "E: 1"),
    ] {
        let cell = run(&mut session, code);
        assert_eq!((cell.end, cell.state), (CellEnd::Raised, State::Kept), "{code}");
        assert_eq!(cell.error.unwrap().traceback.lines().last(), Some(line));
    }
    assert_eq!(see(&mut session, "x"), "1");
    assert_eq!(see(&mut session, "input()").lines().last(), Some("EOFError: there is no input in this sandbox"));
}

#[test]
fn memory_beyond_the_limit_costs_the_cell() {
    let mut session = start_with(Limits { memory_bytes_max: 256 << 20, ..Limits::default() });
    see(&mut session, "y = 5");
    let text = see(&mut session, "x = bytearray(1 << 30)");
    let killed = "[The Python process ended: out of memory: killed by the limit.]\n\
                  [Variables and files are as they were before this cell.]";
    let expected = if session.protection().holds(Layer::Memory) { killed } else { "MemoryError" };
    assert!(text.ends_with(expected), "{text}");
    assert_eq!(see(&mut session, "y"), "5");
}

#[test]
fn a_full_disk_is_an_error() {
    let mut session = start_with(Limits { disk_bytes_max: 1 << 20, ..Limits::default() });
    let text = see(&mut session, "with open('big', 'wb') as f:\n    f.write(bytes(2 << 20))");
    assert!(text.ends_with("No space left on device") || text.ends_with("File too large"), "{text}");
    assert_eq!(see(&mut session, "import os\nos.remove('big')\nopen('small', 'w').write('x')"), "1");
}

#[test]
fn sessions_do_not_see_each_other() {
    let (mut first, mut second) = (start(), start());
    see(&mut first, "x = 1\nopen('mine', 'w').write('secret')");
    assert_eq!(see(&mut second, "'x' in globals()"), "False");
    let path = first.workspace().join("mine");
    let text = see(&mut second, &format!("open({path:?}).read()"));
    assert!(text.contains("PermissionError") || text.contains("FileNotFoundError"), "{text}");
    run(&mut second, "import os\nos._exit(0)");
    assert_eq!(see(&mut first, "x"), "1");
}

#[test]
fn a_session_moves_between_threads_and_outlives_the_one_that_made_it() {
    let mut session = std::thread::spawn(start).join().unwrap();
    assert_eq!(see(&mut session, "6 * 7"), "42");
}

#[test]
fn output_of_a_killed_cell_is_kept() {
    let mut session = start_with(short());
    let code = "import os\nprint('part', end='')\nos.write(2, b'of it')\nimport signal\n\
                signal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True:\n    print('x', end='', flush=True)";
    let cell = run(&mut session, code);
    assert_eq!((cell.end, cell.state), (CellEnd::TimedOut, State::RolledBack));
    assert!(cell.stdout.starts_with("partxxx") && cell.stderr == "of it", "{cell:?}");
}
