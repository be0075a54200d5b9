//! Cells in a real Jupyter kernel: CODEACT_JUPYTER_PYTHON names a Python that has ipykernel.
#![cfg(feature = "jupyter")]
#![allow(clippy::unwrap_used)]

use codeact_sandbox::jupyter::{Kernel, KernelError};
use codeact_sandbox::{Cell, CellEnd, Event, Interpreter, Kind, Limits, Policy, Rung, SandboxError, State, Stream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

fn policy() -> Option<Policy> {
    let Some(python) = std::env::var_os("CODEACT_JUPYTER_PYTHON") else {
        println!("skipped: CODEACT_JUPYTER_PYTHON names no Python with ipykernel");
        return None;
    };
    let limits = Limits { wall_ms_max: 20_000, ..Limits::default() };
    Some(Policy { python: python.into(), limits, environment: vec!["MARK=here".into()], ..Policy::default() })
}

fn run(kernel: &mut Kernel, code: &str) -> Cell {
    kernel.run(code, &mut |_| {}).unwrap()
}

fn see(kernel: &mut Kernel, code: &str) -> String {
    run(kernel, code).observation(2000)
}

#[test]
fn cells_are_those_of_a_session() {
    let Some(policy) = policy() else { return };
    let mut kernel = Kernel::open("Python3", &policy).unwrap();
    assert_eq!(kernel.protection().rung, Rung::None);
    let cell = run(&mut kernel, "import sys\nx = 6\nprint('out', end='')\nprint('err', file=sys.stderr)\nx * 7");
    assert_eq!((cell.end, cell.state), (CellEnd::Finished, State::Kept));
    assert_eq!((cell.stdout.as_str(), cell.stderr.as_str()), ("out", "err\n"));
    assert_eq!((cell.value.text().as_deref(), cell.error), (Some("42"), None));
    assert_eq!(see(&mut kernel, "x"), "6");
    assert_eq!(see(&mut kernel, "import os; os.environ['MARK']"), "'here'");
    assert_eq!(see(&mut kernel, "y = 1"), "[Executed Successfully with No Output]");
    assert_eq!(see(&mut kernel, "len('a' * 3_000_000)"), "3000000");
}

#[test]
fn an_exception_keeps_the_variables_and_has_no_colours() {
    let Some(policy) = policy() else { return };
    let mut kernel = Kernel::start("python3", &policy).unwrap();
    let cell = run(&mut kernel, "x = 1\ndef f():\n    return 1 / 0\nf()");
    assert_eq!((cell.end, cell.state), (CellEnd::Raised, State::Kept));
    let error = cell.error.unwrap();
    assert_eq!((error.name.as_str(), error.message.as_str()), ("ZeroDivisionError", "division by zero"));
    assert!(error.traceback.contains("return 1 / 0") && !error.traceback.contains('\u{1b}'), "{}", error.traceback);
    let cell = run(&mut kernel, "input('name? ')");
    assert_eq!((cell.end, cell.error.unwrap().name.as_str()), (CellEnd::Raised, "StdinNotImplementedError"));
    assert_eq!(see(&mut kernel, "x"), "1");
}

#[test]
fn output_comes_while_the_cell_runs_and_figures_as_bytes() {
    let Some(policy) = policy() else { return };
    let mut kernel = Kernel::start("python3", &policy).unwrap();
    let started = Instant::now();
    let (mut first, mut text, mut sequences) = (None, String::new(), Vec::new());
    let code = "import time\nfor i in range(3):\n    print(i, flush=True)\n    time.sleep(0.5)";
    let cell = kernel.run(code, &mut |event: Event<'_>| {
        first.get_or_insert_with(|| started.elapsed());
        sequences.push(event.sequence);
        if let Kind::Output { stream: Stream::Stdout, text: piece } = event.kind {
            text.push_str(piece);
        }
    });
    assert_eq!((text.as_str(), cell.unwrap().stdout.as_str()), ("0\n1\n2\n", "0\n1\n2\n"));
    assert!(first.unwrap() < Duration::from_millis(1200), "{first:?}");
    assert!(sequences.windows(2).all(|pair| pair[1] == pair[0] + 1), "{sequences:?}");
    let png = "from IPython.display import display, Image\nimport base64\n\
               data = base64.b64decode('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==')\n\
               display(Image(data))";
    let mut shown = 0;
    let cell = kernel.run(png, &mut |event| shown += usize::from(matches!(event.kind, Kind::Display(_)))).unwrap();
    assert_eq!((shown, cell.displays.len()), (1, 1));
    assert!(cell.displays[0].get("image/png").unwrap().starts_with(b"\x89PNG\r\n\x1a\n"));
    assert!(see(&mut kernel, "len?").contains("Return the number of items"));
}

#[test]
fn output_of_threads_that_outlive_their_cell_is_late() {
    let Some(policy) = policy() else { return };
    let mut kernel = Kernel::start("python3", &policy).unwrap();
    let code = "import threading, time\ndef later():\n    time.sleep(0.6)\n    print('tick', flush=True)\n\
                threading.Thread(target=later).start()";
    assert_eq!(run(&mut kernel, code).stdout, "");
    let mut late = String::new();
    let cell = kernel.run("time.sleep(1.5)", &mut |event| {
        if let Kind::Late { text, .. } | Kind::Output { text, .. } = event.kind {
            late.push_str(text);
        }
    });
    assert_eq!((cell.unwrap().end, late.as_str()), (CellEnd::Finished, "tick\n"));
}

#[test]
fn a_cell_over_its_time_is_interrupted_and_a_deaf_one_killed() {
    let Some(mut policy) = policy() else { return };
    policy.limits.wall_ms_max = 1500;
    let mut kernel = Kernel::start("python3", &policy).unwrap();
    let cell = run(&mut kernel, "x = 5\nimport time\nwhile True: time.sleep(0.1)");
    assert_eq!((cell.end, cell.state), (CellEnd::TimedOut, State::Kept));
    assert_eq!(see(&mut kernel, "x"), "5");
    let started = Instant::now();
    let deaf = "import os, signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nprint(os.getpid())\nwhile True: pass";
    let cell = run(&mut kernel, deaf);
    assert_eq!((cell.end, cell.state), (CellEnd::TimedOut, State::Lost), "{cell:?}");
    assert!(started.elapsed() < Duration::from_millis(2600), "{:?}", started.elapsed());
    assert!(cell.observation(1000).contains("all variables are lost"));
    let pid = cell.stdout.trim();
    assert!(!Path::new("/proc").join(pid).exists(), "{pid} lives");
    let cell = run(&mut kernel, "'x' in globals()");
    assert_eq!((cell.value.text().as_deref(), cell.state), (Some("False"), State::Kept));
}

#[test]
fn another_thread_stops_a_cell() {
    let Some(policy) = policy() else { return };
    let mut kernel = Kernel::start("python3", &policy).unwrap();
    let interrupter = kernel.interrupter();
    let code = "import time\nprint('go', flush=True)\ntime.sleep(15)";
    let started = Instant::now();
    let cell = kernel.run(code, &mut |_| interrupter.interrupt()).unwrap();
    assert_eq!((cell.end, cell.state), (CellEnd::Interrupted, State::Kept));
    assert!(started.elapsed() < Duration::from_secs(5));
    interrupter.interrupt();
    assert_eq!(run(&mut kernel, "1").end, CellEnd::Interrupted);
    assert_eq!(see(&mut kernel, "2"), "2");
}

#[test]
fn a_kernel_that_ends_is_noticed_and_replaced() {
    let Some(policy) = policy() else { return };
    let mut kernel = Kernel::start("python3", &policy).unwrap();
    let started = Instant::now();
    let cell = run(&mut kernel, "import os; os._exit(3)");
    assert_eq!((cell.end, cell.state), (CellEnd::Exited, State::Lost));
    assert!(cell.error.unwrap().message.contains('3'));
    assert!(started.elapsed() < Duration::from_secs(3));
    assert_eq!(see(&mut kernel, "1 + 1"), "2");
    assert_eq!(run(&mut kernel, "exit()").state, State::Lost);
    // Between two cells too.
    run(&mut kernel, "import os, threading\nthreading.Timer(0.2, lambda: os._exit(0)).start()");
    std::thread::sleep(Duration::from_millis(700));
    let cell = run(&mut kernel, "3");
    assert_eq!((cell.value.text().as_deref(), cell.state), (Some("3"), State::Lost));
}

/// A kernel that somebody else started.
struct Foreign(Child);

impl Drop for Foreign {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Foreign {
    fn start(policy: &Policy, file: &Path) -> Foreign {
        let mut command = Command::new(&policy.python);
        command.args(["-m", "ipykernel_launcher", "-f"]).arg(file).stdin(Stdio::null()).stdout(Stdio::null());
        let foreign = Foreign(command.stderr(Stdio::null()).spawn().unwrap());
        let end = Instant::now() + Duration::from_secs(30);
        while Kernel::connect(file, policy).is_err() {
            assert!(Instant::now() < end, "no kernel");
            std::thread::sleep(Duration::from_millis(200));
        }
        foreign
    }
}

#[test]
fn a_running_kernel_whose_heart_stops_is_given_up() {
    let Some(policy) = policy() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kernel.json");
    let foreign = Foreign::start(&policy, &file);
    let mut kernel = Kernel::connect(&file, &policy).unwrap();
    let started = Instant::now();
    let cell = run(&mut kernel, "print('bye', flush=True)\nimport os, signal\nos.kill(os.getpid(), signal.SIGKILL)");
    assert_eq!((cell.end, cell.state), (CellEnd::Exited, State::Lost), "{cell:?}");
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    drop(foreign);
    assert!(kernel.run("1", &mut |_| {}).is_err());
}

#[test]
fn a_running_kernel_is_used_and_left_alone() {
    let Some(mut policy) = policy() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kernel.json");
    let mut foreign = Foreign::start(&policy, &file);
    policy.limits.wall_ms_max = 1500;
    let mut kernel = Kernel::open(file.to_str().unwrap(), &policy).unwrap();
    assert_eq!(see(&mut kernel, "x = 9\nx"), "9");
    // Interrupted by a message.
    let cell = run(&mut kernel, "import time\ntime.sleep(10)");
    assert_eq!((cell.end, cell.state), (CellEnd::TimedOut, State::Kept));
    drop(kernel);
    let mut kernel = Kernel::connect(&file, &policy).unwrap();
    assert_eq!(see(&mut kernel, "x"), "9");
    // What cannot be ended is said, and waited for.
    let deaf = "import time\nend = time.time() + 6\nwhile time.time() < end:\n    try: time.sleep(0.1)\n    except BaseException: pass";
    assert_eq!(run(&mut kernel, deaf).end, CellEnd::TimedOut);
    let error = kernel.run("x", &mut |_| {}).unwrap_err();
    assert!(matches!(error, SandboxError::Kernel(KernelError::Busy { .. })), "{error}");
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(see(&mut kernel, "x"), "9");
    assert!(foreign.0.try_wait().unwrap().is_none());
}

#[test]
fn kernels_that_do_not_start_say_why() {
    let Some(policy) = policy() else { return };
    let Err(error) = Kernel::open("no-such-kernel", &policy) else { panic!("there is none") };
    assert!(error.is_bad_input() && error.to_string().contains("python3"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kernel.json");
    std::fs::write(&file, "{}").unwrap();
    assert!(Kernel::open(file.to_str().unwrap(), &policy).is_err_and(|error| error.is_bad_input()));
    let workspace = Some(folder.path().join("missing"));
    assert!(Kernel::open("python3", &Policy { workspace, ..policy }).is_err());
}
