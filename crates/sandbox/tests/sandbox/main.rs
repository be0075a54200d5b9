//! One confined Python, driven from outside: what a cell shows, how it ends, what it can forge, what it can reach, and
//! what can be taken back.
#![allow(clippy::unwrap_used)]

mod showing; // read first: what a model sees of a cell

mod notebook; // displays, magics, tools

mod calling; // calls of tools when cells are run again

mod ending; // the ways a cell ends

mod checking; // whether code is Python, before it runs

mod undoing; // undo, branch, replay

mod recording; // journals, restored sessions, skills

mod forging; // a cell against the channel and the runner

mod reaching; // a cell against the machine

use codeact_sandbox::{Cell, Event, Kind, Layer, Limits, Policy, Session, Stream};

fn policy() -> Policy {
    // A zygote without imports starts faster.
    Policy { imports: Vec::new(), ..Policy::default() }
}

fn start() -> Session {
    Session::start(&policy()).unwrap()
}

fn start_with(limits: Limits) -> Session {
    Session::start(&Policy { limits, ..policy() }).unwrap()
}

fn run(session: &mut Session, code: &str) -> Cell {
    session.run(code, &mut |_| {}).unwrap()
}

fn see(session: &mut Session, code: &str) -> String {
    run(session, code).observation(10_000)
}

fn value(cell: &Cell) -> Option<String> {
    cell.value.text()
}

/// The text of an event, if it is output of the running cell.
fn output<'a>(event: &Event<'a>) -> Option<(Stream, &'a str)> {
    match event.kind {
        Kind::Output { stream, text } => Some((stream, text)),
        _ => None,
    }
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
