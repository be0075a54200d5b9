use crate::{run, see, start, start_with, value};
use codeact_sandbox::{CellEnd, Limits, State};

#[test]
fn bytes_forged_on_stdout_and_stderr_are_output_and_nothing_else() {
    let mut session = start();
    let code =
        "import os\nfor fd in (1, 2):\n    os.write(fd, b'\\x15\\0\\0\\0' + bytes(16) + b'F' + b'\\xff' * 4)\n'value'";
    let cell = run(&mut session, code);
    assert_eq!((cell.end, value(&cell).as_deref()), (CellEnd::Finished, Some("'value'")));
    assert_eq!(cell.stdout.len(), cell.stderr.len());
    assert_eq!(see(&mut session, "1 + 1"), "2");
}

#[test]
fn garbage_on_every_descriptor_costs_at_most_its_own_session_state() {
    let mut session = start_with(Limits { wall_ms_max: 1000, ..Limits::default() });
    for garbage in ["b'garbage' * 10", "bytes(64)", "b'\\xff' * 64", "b'\\x40\\0\\0\\0'"] {
        let code = format!(
            "import os\nfor fd in range(0, 64):\n    try:\n        os.write(fd, {garbage})\n    except OSError:\n        pass\n1"
        );
        let cell = run(&mut session, &code);
        assert!(matches!(cell.end, CellEnd::Exited | CellEnd::TimedOut), "{garbage}: {cell:?}");
        assert!(see(&mut session, "40 + 2").ends_with("42"), "{garbage}");
    }
}

#[test]
fn a_well_formed_answer_with_another_nonce_is_ignored() {
    let mut session = start();
    let code = r"
import os, stat, threading, time
frame = (21).to_bytes(4, 'little') + bytes(16) + b'F' + b'\xff' * 4
def is_socket(fd):
    try:
        return stat.S_ISSOCK(os.fstat(fd).st_mode)
    except OSError:
        return False
control = next(fd for fd in range(3, 64) if is_socket(fd))
os.write(control, frame)
'mine'";
    assert_eq!(see(&mut session, code), "'mine'");
    // Left in the socket after the cell has ended, it does not answer for the next one either.
    let code = r"
def late():
    time.sleep(0.1)
    os.write(control, frame)
    open('done', 'w').close()
thread = threading.Thread(target=late)
thread.start()";
    see(&mut session, code);
    assert_eq!(see(&mut session, "thread.join()\nos.path.exists('done')"), "True");
}

#[test]
fn closing_the_standard_streams_does_not_silence_the_next_cell() {
    let mut session = start();
    for code in [
        "import sys\nsys.stdout.close()",
        "import sys\nsys.stderr.close()\nsys.stdin.close()",
        "import os\nos.close(1)\nos.close(2)",
        "import os\nos.dup2(os.open('/dev/null', os.O_WRONLY), 1)",
        "import sys, io\nsys.stdout = io.StringIO()\nsys.stderr = None\nsys.__stdout__ = None",
        "import sys\nsys.stdout.reconfigure(encoding='ascii')\ndel sys.stdout",
        "import sys\nsys.stdout.detach()",
    ] {
        run(&mut session, code);
        assert_eq!(see(&mut session, "print('heard é')"), "heard é", "after {code}");
    }
}

#[test]
fn closing_every_descriptor_ends_the_python_but_not_the_session() {
    let mut session = start();
    let cell = run(&mut session, "import os\nos.closerange(0, 512)");
    assert_eq!((cell.end, cell.state), (CellEnd::Exited, State::RolledBack));
    assert!(see(&mut session, "1 + 1").ends_with('2'));
}

#[test]
fn patched_builtins_and_modules_do_not_reach_the_runner() {
    let mut session = start();
    for code in [
        "import json\njson.dumps = json.loads = None",
        "import os\nos.write = os.read = os.dup2 = os.getpid = lambda *a: 0",
        "import builtins\nfor n in ('compile', 'exec', 'eval', 'repr', 'len', 'str', 'isinstance', 'min', 'type', 'open', 'print'):\n    \
         setattr(builtins, n, None)",
        "import sys, signal, ast, linecache, traceback\nsignal.signal = ast.parse = None\nlinecache.cache.clear()\n\
         traceback.format_exception = None\nsys.modules.clear()",
        "import sys\nsys.excepthook = sys.displayhook = None\nsys.modules = {}",
        "del __builtins__",
        "import gc\ngc.disable()\nglobals().clear()",
    ] {
        run(&mut session, code);
        assert_eq!(see(&mut session, "20 + 2"), "22", "after {code}");
        let text = see(&mut session, "1 / 0");
        assert!(text.ends_with("    1 / 0\nZeroDivisionError: division by zero"), "after {code}: {text}");
    }
}

#[test]
fn a_cell_that_reads_the_control_socket_hurts_only_its_session() {
    let mut session = start_with(Limits { wall_ms_max: 1000, ..Limits::default() });
    let code = "import os, threading\ndef steal():\n    for fd in range(3, 20):\n        try:\n            os.read(fd, 1)\n        \
                except OSError:\n            pass\nfor _ in range(4):\n    threading.Thread(target=steal, daemon=True).start()";
    run(&mut session, code);
    // Each thread can spoil at most one cell, whichever it reads a byte of.
    let recovered = (0..5).any(|_| see(&mut session, "40 + 2").ends_with("42"));
    assert!(recovered);
    assert_eq!(see(&mut start(), "1 + 1"), "2");
}
