//! Run cells in one session, and print what a model would see of each: `session [--rung user] CODE...`.

use codeact_sandbox::{Policy, Rung, Session};

fn main() -> Result<(), codeact_sandbox::SandboxError> {
    let mut cells: Vec<String> = std::env::args().skip(1).collect();
    let mut policy = Policy::default();
    if cells.first().is_some_and(|first| first == "--rung") {
        let name = cells.drain(..2).nth(1).unwrap_or_default();
        let rung = [Rung::Root, Rung::User, Rung::Weak, Rung::None].into_iter().find(|rung| rung.name() == name);
        (policy.strongest, policy.weakest) = (rung.unwrap_or(Rung::Root), rung.unwrap_or(Rung::None));
    }
    let started = std::time::Instant::now();
    let mut session = Session::start(&policy)?;
    eprint!("{}", session.protection());
    eprintln!("started in {:?}", started.elapsed());
    for code in cells {
        let started = std::time::Instant::now();
        let cell = session.run(&code, &mut |_| {})?;
        println!("{}", cell.observation(10_000));
        eprintln!("{:?}, {:?}, {:?}", cell.end, cell.state, started.elapsed());
    }
    Ok(())
}
