//! One confined Python, driven from outside: what a cell shows, how it ends, what it can forge, what it can reach.
#![allow(clippy::unwrap_used)]

mod ending; // then: the ways a cell ends
mod forging; // a cell against the channel and the runner
mod reaching;
mod showing; // read first: what a model sees of a cell // a cell against the machine

use codeact_sandbox::{Cell, Layer, Limits, Policy, Session};

fn start() -> Session {
    Session::start(&Policy::default()).unwrap()
}

fn start_with(limits: Limits) -> Session {
    Session::start(&Policy { limits, ..Policy::default() }).unwrap()
}

fn run(session: &mut Session, code: &str) -> Cell {
    session.run(code, &mut |_, _| {}).unwrap()
}

fn see(session: &mut Session, code: &str) -> String {
    run(session, code).observation(10_000)
}

/// A session, if `layer` holds on this host; else a printed line.
fn start_if(layer: Layer) -> Option<Session> {
    let session = start();
    if session.protection().holds(layer) {
        return Some(session);
    }
    println!("skipped: {layer:?} does not hold on this host");
    None
}
