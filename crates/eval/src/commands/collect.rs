//! `codeact-eval collect`: scripted plans become conversations whose every observation is real.

use std::path::PathBuf;

use codeact_agent::Profile;
use codeact_eval::{EvalError, SandboxArgs, check_writable, read_plans};

use super::progress::Progress;

/// What to run, and where to write.
#[derive(clap::Args)]
pub struct CollectArgs {
    /// Plans: JSON lines {"id","family","prompt","turns":[..],"answer","setup"?}
    #[arg(long, value_name = "FILE")]
    plans: PathBuf,
    /// Conversations, in the order of the plans
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    sandbox: SandboxArgs,
}

pub fn collect(args: &CollectArgs) -> anyhow::Result<String> {
    let CollectArgs { plans, out, sandbox } = args;
    let plans = read_plans(plans)?;
    check_writable(out)?;
    let (_, sandbox) = sandbox.start(None).map_err(EvalError::from)?;
    eprintln!("{}", sandbox.announcement(""));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let progress = Progress::new(plans.len());
    let conversations =
        codeact_eval::collect(&plans, &Profile::quickstart(), &sandbox.policy, threads, &|| progress.step(""));
    progress.finish();
    let conversations = conversations?;
    codeact_chat::write_jsonl(out, &conversations)
        .map_err(|source| EvalError::Write { path: out.to_owned(), source })?;
    eprintln!("{} conversations written to `{}`", conversations.len(), out.display());
    Ok(String::new())
}
