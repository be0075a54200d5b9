//! Hostile cells, hostile callers and random programs against real sessions, on every rung that this machine offers.
#![allow(clippy::unwrap_used)]

mod attack; // read first: one file of `attacks/`

mod judge; // what a last cell may say

mod rung; // which rungs there are, and this program once more as another user

mod bystander; // a session that minds its own business

mod catalogue; // all files, on each rung

mod host; // the same cases from the host's side

mod poisoned; // states that end every cell

mod fuzz; // random programs

use codeact_sandbox::{Cell, Limits, Policy, Session};
use std::io::Write;
use std::sync::{Mutex, MutexGuard};

/// Held by whoever loads the machine or looks at the clock.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A policy with small limits and a light interpreter.
fn policy(rung: codeact_sandbox::Rung, wall_ms_max: u64) -> Policy {
    let limits = Limits {
        wall_ms_max,
        memory_bytes_max: 512 << 20,
        processes_max: 64,
        open_files_max: 512,
        disk_bytes_max: 256 << 20,
        disk_files_max: 16_384,
        output_file_bytes_max: 0,
        checkpoints_max: 2,
        ..Limits::default()
    };
    Policy { imports: Vec::new(), limits, strongest: rung, weakest: rung, ..Policy::default() }
}

fn run(session: &mut Session, code: &str) -> Cell {
    session.run(code, &mut |_| {}).unwrap()
}

fn see(session: &mut Session, code: &str) -> String {
    run(session, code).observation(10_000)
}

/// A line that the test harness does not swallow when the test passes.
fn report(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
