use crate::{policy, run, see};
use codeact_sandbox::{CellEnd, Limits, Policy, Restored, Session, State, Tool, Toolbox};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A tool that changes something outside: each call gets the next number, and those of `"no"` fail.
#[derive(Debug, Default)]
struct Counter(AtomicUsize);

impl Toolbox for Counter {
    fn tools(&self) -> Vec<Tool> {
        vec![Tool { name: "count".to_string(), signature: "(what: str = '')".to_string(), doc: String::new() }]
    }

    fn call(&self, _: &str, arguments: Value) -> Result<Value, String> {
        let count = self.0.fetch_add(1, Ordering::SeqCst) + 1;
        match arguments["what"].as_str() {
            Some("no") => Err(format!("no number {count}")),
            Some("large") => Ok(Value::from("x".repeat(7 << 20))),
            _ => Ok(json!(count)),
        }
    }
}

fn counting() -> (Arc<Counter>, Policy) {
    let counter = Arc::new(Counter::default());
    (counter.clone(), Policy { tools: Some(counter), ..policy() })
}

const FAILING: &str = "try:\n    count('no')\nexcept RuntimeError as error:\n    said = str(error)";

#[test]
fn a_restored_session_calls_no_tool_again() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("session");
    let (counter, policy) = counting();
    let mut session = Session::start_recorded(&policy, &place).unwrap();
    see(&mut session, "from concurrent.futures import ThreadPoolExecutor\nones = [count(), count('b'), count()]");
    see(&mut session, "with ThreadPoolExecutor(4) as pool:\n    more = list(pool.map(count, 'abcdefgh'))");
    see(&mut session, FAILING);
    let seen = see(&mut session, "ones, more, said");
    drop(session);
    let (mut session, recovery) = Session::restore(&policy, &place).unwrap();
    assert_eq!((recovery.cells, recovery.differences), (4, vec![]));
    assert_eq!(see(&mut session, "ones, more, said"), seen);
    assert_eq!(counter.0.load(Ordering::SeqCst), 12);
    // New calls are made.
    assert_eq!(see(&mut session, "count()"), "13");
    // A branch has the results of both.
    let beside = folder.path().join("branch");
    let (branch, _) = session.branch_recorded(6, &beside).unwrap();
    drop((branch, session));
    let (mut branch, recovery) = Session::restore(&policy, &beside).unwrap();
    assert_eq!((recovery.differences, see(&mut branch, "_")), (vec![], "13".to_string()));
    assert_eq!(counter.0.load(Ordering::SeqCst), 13);
}

#[test]
fn an_undo_that_runs_cells_again_calls_no_tool_again() {
    let (counter, policy) = counting();
    let limits = Limits { checkpoints_max: 0, ..Limits::default() };
    let mut session = Session::start(&Policy { limits, ..policy }).unwrap();
    see(&mut session, "one = count()");
    see(&mut session, "two = count()");
    let restored = session.undo(1).unwrap();
    assert!(matches!(&restored, Restored::Replayed { differences, .. } if differences.is_empty()), "{restored:?}");
    assert_eq!((see(&mut session, "one"), counter.0.load(Ordering::SeqCst)), ("1".to_string(), 2));
}

#[test]
fn a_call_that_another_run_makes_otherwise_fails_there() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("session");
    let (counter, policy) = counting();
    let mut session = Session::start_recorded(&policy, &place).unwrap();
    see(&mut session, "import os\ncount(os.urandom(8).hex())");
    drop(session);
    let (_, recovery) = Session::restore(&policy, &place).unwrap();
    assert_eq!(recovery.differences.len(), 1, "{recovery:?}");
    assert_eq!(counter.0.load(Ordering::SeqCst), 1);
}

#[test]
fn results_are_kept_within_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("session");
    let (counter, policy) = counting();
    let mut session = Session::start_recorded(&policy, &place).unwrap();
    let large = "try:\n    size = len(count('large'))\nexcept RuntimeError:\n    size = 0\nsize";
    for _ in 0..3 {
        see(&mut session, large);
    }
    drop(session);
    let (mut session, recovery) = Session::restore(&policy, &place).unwrap();
    // The third has no room beside the others.
    assert_eq!(recovery.differences.len(), 1, "{recovery:?}");
    assert!(recovery.differences[0].starts_with("cell 3: value"), "{recovery:?}");
    assert_eq!((see(&mut session, "size"), counter.0.load(Ordering::SeqCst)), ("0".to_string(), 3));
}

#[test]
fn calls_without_an_effect_or_beyond_the_limits_are_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("session");
    let (counter, policy) = counting();
    let mut session = Session::start_recorded(&policy, &place).unwrap();
    let many = "done = failed = 0\nfor _ in range(1010):\n    try:\n        count()\n        done += 1\n    \
                except RuntimeError:\n        failed += 1\ndone, failed";
    let cell = run(&mut session, many);
    assert_eq!((cell.value.text().as_deref(), cell.calls.len()), (Some("(1000, 10)"), 1000));
    let late = run(&mut session, "count('late')\nimport os\nos._exit(1)");
    assert_eq!((late.end, late.state, late.calls), (CellEnd::Exited, State::RolledBack, vec![]));
    drop(session);
    let (mut session, recovery) = Session::restore(&policy, &place).unwrap();
    assert_eq!((recovery.cells, recovery.differences), (1, vec![]));
    assert_eq!((see(&mut session, "done, failed"), counter.0.load(Ordering::SeqCst)), ("(1000, 10)".to_string(), 1001));
    // And once more from what was run again.
    drop(session);
    let (_, recovery) = Session::restore(&policy, &place).unwrap();
    assert_eq!((recovery.differences, counter.0.load(Ordering::SeqCst)), (vec![], 1001));
}
