//! Libraries work inside unchanged: the standard library, numpy and its friends, interpreters from anywhere, and undo
//! across what they leave running. On every rung that holds.
#![allow(clippy::unwrap_used)]

mod rung; // read first: where a test runs

mod interpreters; // environments, and scripts in front of Python

mod undoing; // undo across threads, files, databases

use codeact_sandbox::{Cell, CellEnd, Policy, Rung, Session, State};
use std::path::PathBuf;

const NEXT_CELL: &str = "# --- next cell\n";

fn policy(rung: Rung) -> Policy {
    Policy { imports: Vec::new(), strongest: rung, weakest: rung, ..Policy::default() }
}

/// A session in the Python that has the libraries of `tests/sandbox-requirements.txt`, if there is one.
fn policy_with_libraries(rung: Rung) -> Option<Policy> {
    let named = std::env::var_os("CODEACT_SANDBOX_PYTHON").map(PathBuf::from);
    let made = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/sandbox-libraries/bin/python"));
    let python = named.unwrap_or(made);
    if !python.exists() {
        rung::skip(&format!(
            "no Python with libraries at `{}` for this user: `.ci/run` makes one, CODEACT_SANDBOX_PYTHON names one",
            python.display()
        ));
        return None;
    }
    Some(Policy { python, ..policy(rung) })
}

/// Start, or say that the rung does not hold here, with any Python.
fn start(asked: &Policy) -> Option<Session> {
    if let Err(error) = Session::start(&policy(asked.strongest)) {
        rung::skip(&error.to_string().replace('\n', " "));
        return None;
    }
    Some(Session::start(asked).unwrap())
}

/// Run one cell, which has to reach its end.
fn run(session: &mut Session, code: &str) -> Cell {
    let cell = session.run(code, &mut |_| {}).unwrap();
    let shown = cell.observation(4000);
    assert_eq!((cell.end, cell.state), (CellEnd::Finished, State::Kept), "{code}\n{shown}");
    cell
}

fn see(session: &mut Session, code: &str) -> String {
    run(session, code).observation(4000)
}

/// The cells of a file, one after the other. They judge themselves, and print `ok` in the end.
fn run_file(policy: &Policy, text: &str) -> Option<Cell> {
    let mut session = start(policy)?;
    let cells: Vec<Cell> = text.split(NEXT_CELL).map(|code| run(&mut session, code)).collect();
    assert!(cells.iter().any(|cell| cell.stdout == "ok\n"), "nothing was judged");
    cells.into_iter().next_back()
}

macro_rules! standard {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            rung::on_each(stringify!($name), |rung| {
                run_file(&policy(rung), include_str!(concat!("cells/", stringify!($name), ".py")));
            });
        }
    )*};
}

standard! {
    asyncio_tasks concurrent_futures ctypes_calls files logging_and_signals multiprocessing_start sockets
    sqlite_database subprocesses threads
}

macro_rules! installed {
    ($($name:ident $imports:expr, $judge:expr;)*) => {$(
        #[test]
        fn $name() {
            rung::on_each(stringify!($name), |rung| {
                let Some(policy) = policy_with_libraries(rung) else { return };
                let text = include_str!(concat!("cells/", stringify!($name), ".py"));
                let imported = Policy { imports: $imports.map(str::to_string).to_vec(), ..policy.clone() };
                // Imported by a cell, and imported before the session began.
                for policy in [policy, imported] {
                    let last = run_file(&policy, text);
                    let judge: fn(Cell) = $judge;
                    last.into_iter().for_each(judge);
                }
            });
        }
    )*};
}

installed! {
    installed_numpy ["numpy"], |_| {};
    installed_pandas ["numpy", "pandas"], |_| {};
    installed_matplotlib ["matplotlib.pyplot"], |cell| assert!(cell.displays[0].get("image/png").is_some());
    installed_scikit_learn ["sklearn.linear_model"], |_| {};
}
