//! `codeact-eval import`: a suite out of the files of a published benchmark.

use codeact_eval::{ImportArgs, ImportOptions};

pub fn import(args: &ImportArgs) -> anyhow::Result<String> {
    let options = ImportOptions { limit: args.limit.map(|limit| limit as usize), split: args.split.clone() };
    let policy = args.sandbox.policy(None);
    let imported = codeact_eval::import(args.benchmark, &args.from, &args.out, &options, &policy)?;
    let out = args.out.display();
    eprintln!("written to `{out}`; `codeact-eval check {out}` plays its references");
    Ok(imported.table())
}
