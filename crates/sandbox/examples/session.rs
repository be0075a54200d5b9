//! Run the cells given as arguments in one session, and print what a model would see of each.

use codeact_sandbox::{Policy, Session};

fn main() -> Result<(), codeact_sandbox::SandboxError> {
    let started = std::time::Instant::now();
    let mut session = Session::start(&Policy::default())?;
    eprintln!("{}{:?}", session.protection(), started.elapsed());
    for code in std::env::args().skip(1) {
        let started = std::time::Instant::now();
        let cell = session.run(&code, &mut |_| {})?;
        println!("{}", cell.observation(10_000));
        eprintln!("{:?} {:?} {:?}", cell.end, cell.state, started.elapsed());
    }
    Ok(())
}
