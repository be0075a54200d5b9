//! `codeact-eval check`: suites in which every reference is right and every plausible mistake wrong.

use codeact_eval::{CheckArgs, EvalError};

use super::progress::Progress;

pub fn check(args: &CheckArgs) -> anyhow::Result<String> {
    let suites = args.suites()?;
    let (_, sandbox) = args.sandbox.start(None).map_err(EvalError::from)?;
    eprintln!("{}", sandbox.announcement(""));
    let progress = Progress::new(suites.iter().map(|suite| suite.tasks.len()).sum());
    let checked = codeact_eval::check(&suites, &sandbox.policy, args.threads(), &|| progress.step(""));
    progress.finish();
    if checked.faults.is_empty() {
        return Ok(checked.table());
    }
    eprint!("{}", checked.table());
    Err(EvalError::Suites { count: checked.faults.len(), faults: checked.faults }.into())
}
