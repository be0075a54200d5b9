//! `codeact-eval skills`: functions of solved tasks that are kept in a store.

use std::fmt::Write;
use std::path::PathBuf;

use codeact_data::preview::harmless;
use codeact_eval::earn::earn;
use codeact_eval::{EvalError, SandboxArgs};

/// Where functions come from, and where they are kept.
#[derive(clap::Args)]
pub struct SkillsArgs {
    /// Conversations, one JSON line each, such as `collect` writes; or .py files, each a program that defines functions
    /// and calls them
    #[arg(required = true, value_name = "FILE")]
    programs: Vec<PathBuf>,
    /// Folder of the store, which is made if it is missing; `run` has it as skills=DIR, `codeact-chat` as --skills-dir
    #[arg(long, value_name = "DIR")]
    store: PathBuf,
    #[command(flatten)]
    sandbox: SandboxArgs,
}

pub fn skills(args: &SkillsArgs) -> anyhow::Result<String> {
    let (session, sandbox) = args.sandbox.start(None).map_err(EvalError::from)?;
    drop(session);
    eprintln!("{}", sandbox.announcement(""));
    let done = earn(&args.programs, &args.store, &sandbox.policy)?;
    let mut text = String::new();
    for (signature, version) in &done.stored {
        writeln!(text, "kept {}  (version {version})", harmless(signature))?;
    }
    let (stored, known) = (done.stored.len(), done.known);
    writeln!(text, "{stored} functions kept, {known} known already, of {} programs that define any", done.programs)?;
    for (why, count) in &done.left_out {
        writeln!(text, "{count} left out: {}", harmless(why))?;
    }
    Ok(text)
}
