//! A first process that does not answer any more.

use super::super::{Kind, Session, lock};
use crate::{Cell, CellEnd, Limits, Policy, State};
use rustix::process::{Signal, pidfd_send_signal};
use std::time::{Duration, Instant};

const WALL: Duration = Duration::from_millis(700);
const PROMISED: Duration = Duration::from_secs(1);
/// What a machine may take on top that has much else to do.
const LOADED: Duration = Duration::from_secs(1);

fn start() -> Session {
    let limits = Limits { wall_ms_max: WALL.as_millis() as u64, ..Limits::default() };
    let mut session = Session::start(&Policy { imports: Vec::new(), limits, ..Policy::default() }).unwrap();
    see(&mut session, "x = 1\nopen('kept', 'w').write('y')");
    // The answer about its checkpoint has been heard.
    let yard = session.yard.clone();
    session.settle_point(&mut lock(&yard), &mut |_| {});
    session
}

fn see(session: &mut Session, code: &str) -> Option<String> {
    session.run(code, &mut |_| {}).unwrap().value.text()
}

/// Run `code` and stop the first process before it, or once it has printed something.
fn run_deaf(session: &mut Session, code: &str, is_before: bool) -> (Cell, Duration) {
    let process = lock(&session.yard).jail.process.try_clone().unwrap();
    let stop = || pidfd_send_signal(&process, Signal::STOP).unwrap();
    if is_before {
        stop();
    }
    let begun = Instant::now();
    let on_event = &mut |event: crate::Event<'_>| {
        if let Kind::Output { .. } = event.kind {
            stop();
        }
    };
    (session.run(code, on_event).unwrap(), begun.elapsed())
}

#[test]
fn a_deaf_first_process_costs_the_variables_and_no_time() {
    for (code, is_before) in [("6 * 7", true), ("print('here', flush=True)\nimport time\ntime.sleep(0.2)", false)] {
        let mut session = start();
        let (cell, time) = run_deaf(&mut session, code, is_before);
        assert_eq!((cell.end, cell.state, cell.unrestored), (CellEnd::Exited, State::Lost, None), "{code}");
        assert_eq!(cell.stdout, if is_before { "" } else { "here\n" });
        assert!((WALL..WALL + PROMISED + LOADED).contains(&time), "{code}: {time:?}");
        assert_eq!(see(&mut session, "'x' in globals(), open('kept').read()").as_deref(), Some("(False, 'y')"));
    }
}
