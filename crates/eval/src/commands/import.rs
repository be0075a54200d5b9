//! `codeact-eval import`: a suite out of the files of a published benchmark.

use codeact_eval::{EvalError, ImportArgs};
use codeact_sandbox::{Network, Policy};

pub fn import(args: &ImportArgs) -> anyhow::Result<String> {
    // What reads the files needs no modules of others and nobody to talk to, whatever the options say.
    let mut policy = Policy { imports: Vec::new(), network: Network::None, ..args.sandbox.policy(None) };
    if args.needs_python() {
        let (session, sandbox) = args.sandbox.open(policy).map_err(EvalError::from)?;
        drop(session);
        eprintln!("{}", sandbox.announcement(""));
        policy = sandbox.policy;
    }
    let imported = codeact_eval::import(args.benchmark, &args.from, &args.out, &args.options(), &policy)?;
    let out = args.out.display();
    eprintln!("written to `{out}`; `codeact-eval check {out}` plays its references");
    Ok(imported.table())
}
