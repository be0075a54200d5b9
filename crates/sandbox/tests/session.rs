//! What a cell can do, and what its user sees of it.
use codeact_sandbox::{Cell, Policy, Session};

fn run(session: &mut Session, code: &str) -> Cell {
    session.run(code, &mut |_, _| {}).unwrap()
}

fn see(session: &mut Session, code: &str) -> String {
    run(session, code).observation(10_000)
}

#[test]
fn variables_persist_between_cells() {
    let mut session = Session::start(&Policy::default()).unwrap();
    eprintln!("{}", session.protection());
    assert_eq!(
        see(&mut session, "x = 41"),
        "[Executed Successfully with No Output]"
    );
    assert_eq!(see(&mut session, "x + 1"), "42");
}
