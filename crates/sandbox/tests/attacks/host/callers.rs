//! Callers that come two at a time, too often, go away, or take their time to approve.

use crate::{policy, run, rung, see};
use codeact_sandbox::{Approval, CellEnd, Policy, SandboxError, Session, State, Tool, Toolbox};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const IGNORES: &str = "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n\
    print('begun', flush=True)\nwhile True: time.sleep(1)";

#[test]
fn a_caller_that_leaves_stops_its_cell() {
    rung::on_each("host::callers::a_caller_that_leaves_stops_its_cell", |rung| {
        let mut session = Session::start(&policy(rung, 60_000)).unwrap();
        run(&mut session, "x = 1");
        let interrupter = session.interrupter();
        let started = Instant::now();
        // The first output tells that it runs; then its caller goes, and the session with it.
        let cell = session.run(IGNORES, &mut |_| interrupter.interrupt()).unwrap();
        assert_eq!((cell.end, cell.state), (CellEnd::Interrupted, State::RolledBack));
        assert_eq!(see(&mut session, "x"), "1");
        let interrupter = session.interrupter();
        let gone = std::thread::spawn(move || {
            let cell = session.run(IGNORES, &mut |_| {});
            drop(session);
            cell.unwrap().end
        });
        std::thread::sleep(Duration::from_millis(300));
        interrupter.interrupt();
        assert_eq!(gone.join().unwrap(), CellEnd::Interrupted);
        assert!(started.elapsed() < Duration::from_secs(20));
    });
}

#[test]
fn a_caller_that_panics_leaves_a_session_that_works() {
    rung::on_each("host::callers::a_caller_that_panics_leaves_a_session_that_works", |rung| {
        let mut session = Session::start(&policy(rung, 2000)).unwrap();
        run(&mut session, "x = 1");
        let panics = std::panic::AssertUnwindSafe(|| {
            session.run("print('a', flush=True); 5", &mut |_| panic!("the caller is gone")).unwrap()
        });
        assert!(std::panic::catch_unwind(panics).is_err());
        let cell = run(&mut session, "6 * 7");
        assert_eq!(cell.value.text().as_deref(), Some("42"), "{:?}", cell);
        assert!(cell.state == State::Lost || see(&mut session, "x") == "1");
    });
}

#[test]
fn two_branches_at_once_take_turns() {
    rung::on_each("host::callers::two_branches_at_once_take_turns", |rung| {
        let mut session = Session::start(&policy(rung, 20_000)).unwrap();
        run(&mut session, "x = 0");
        let (branch, _) = session.branch(session.cells()).unwrap();
        std::thread::scope(|scope| {
            for (mut one, step) in [(session, 1), (branch, 100)] {
                scope.spawn(move || {
                    for round in 1..=5 {
                        assert_eq!(see(&mut one, &format!("x += {step}; x")), (step * round).to_string());
                    }
                });
            }
        });
    });
}

#[test]
fn forty_sessions_beside_each_other() {
    rung::on_each("host::callers::forty_sessions_beside_each_other", |rung| {
        let mut sessions: Vec<Session> = (0..40).map(|_| Session::start(&policy(rung, 20_000)).unwrap()).collect();
        for (number, session) in sessions.iter_mut().enumerate() {
            run(session, &format!("x = {number}; open('file', 'w').write(str(x))"));
        }
        for (number, session) in sessions.iter_mut().enumerate() {
            assert_eq!(see(session, "print(x, open('file').read())"), format!("{number} {number}"));
        }
        sessions.truncate(1);
        assert_eq!(see(&mut sessions[0], "x"), "0");
    });
}

#[derive(Debug, Default)]
struct Slow {
    asked: AtomicUsize,
    made: AtomicUsize,
}

impl Toolbox for Slow {
    fn tools(&self) -> Vec<Tool> {
        let tool = |name: &str| Tool { name: name.into(), signature: "() -> int".into(), doc: String::new() };
        vec![tool("slow"), tool("denied")]
    }

    fn approve(&self, name: &str, _: &Value) -> Approval {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if name == "denied" {
            return Approval::Deny("not today".into());
        }
        std::thread::sleep(Duration::from_millis(1500));
        Approval::Allow
    }

    fn call(&self, _: &str, _: Value) -> Result<Value, String> {
        Ok(json!(self.made.fetch_add(1, Ordering::SeqCst)))
    }
}

#[test]
fn an_approval_after_the_end_of_the_cell_does_nothing() {
    rung::on_each("host::callers::an_approval_after_the_end_of_the_cell_does_nothing", |rung| {
        let toolbox = Arc::new(Slow::default());
        let tools: Arc<dyn Toolbox> = toolbox.clone();
        let mut session = Session::start(&Policy { tools: Some(tools), ..policy(rung, 600) }).unwrap();
        let cell = run(&mut session, "slow()");
        assert_eq!(cell.end, CellEnd::TimedOut);
        std::thread::sleep(Duration::from_millis(1500));
        assert_eq!((toolbox.asked.load(Ordering::SeqCst), toolbox.made.load(Ordering::SeqCst)), (1, 0));
        // The answer to a call of an earlier cell reaches no later one.
        assert_eq!(see(&mut session, "6 * 7"), "42");
        assert!(see(&mut session, "denied()").contains("not today"));
        assert_eq!(toolbox.made.load(Ordering::SeqCst), 0);
    });
}

#[test]
fn oversized_and_malformed_cells() {
    rung::on_each("host::callers::oversized_and_malformed_cells", |rung| {
        let mut session = Session::start(&policy(rung, 20_000)).unwrap();
        run(&mut session, "x = 1");
        let too_large = session.run(&"#".repeat(17 << 20), &mut |_| {});
        assert!(matches!(too_large, Err(SandboxError::CellTooLarge { .. })));
        let big = format!("len('{}')", "a".repeat(4 << 20));
        assert_eq!(see(&mut session, &big), (4 << 20).to_string());
        for code in [
            "\0",
            "\u{feff}1",
            "\u{202e}x",
            "\r\r\n",
            "(",
            &"(".repeat(100_000),
            &"-".repeat(100_000),
            "%",
            "%%",
            "!",
            "\\",
            "def",
            "'''",
            "x = = 1",
            "\t x",
            "é = 1",
            "\u{fffe}",
            "return 1",
            "await x",
            "yield",
            "nonlocal y",
            "from __future__ import braces",
            "#coding: nonsense\n1",
            "\u{c}\u{b}",
        ] {
            let cell = run(&mut session, code);
            assert!(matches!(cell.end, CellEnd::Finished | CellEnd::Raised | CellEnd::Exited), "{:?}", cell.end);
            assert_eq!(see(&mut session, "x"), "1", "after {:?}", &code.chars().take(30).collect::<String>());
        }
    });
}
