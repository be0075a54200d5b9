//! `codeact-eval verify`: which rows of a data set have true observations.

use std::sync::atomic::{AtomicUsize, Ordering};

use codeact_eval::EvalError;
use codeact_eval::verify::{Verdict, Verification, VerifyArgs};

use super::progress::Progress;
use crate::stop_on_interrupt;

pub fn verify(args: &VerifyArgs) -> anyhow::Result<String> {
    let files = args.files()?;
    let (session, sandbox) = args.sandbox.start(None).map_err(EvalError::from)?;
    drop(session);
    eprintln!("{}", sandbox.announcement(""));
    let verification = Verification::open(files, args.options(sandbox.policy)?)?;
    let (all, done) = (verification.row_count(), verification.done_count());
    if done > 0 {
        eprintln!("{done} of {all} rows are done already");
    }
    let progress = Progress::new(all);
    progress.begin(done);
    let dropped = AtomicUsize::new(0);
    let summary = verification.run(stop_on_interrupt("rows")?, &|report| {
        let is_dropped = usize::from(report.verdict == Verdict::Dropped);
        let dropped = dropped.fetch_add(is_dropped, Ordering::Relaxed) + is_dropped;
        progress.step(&format!("{dropped} dropped"));
    });
    progress.finish();
    let summary = summary?;
    let (out, report, seconds) = (&summary.out, &summary.report, summary.seconds);
    eprintln!("{} of {all} rows kept in `{out}`, reasons in `{report}`, {seconds:.1} s", summary.kept);
    Ok(match args.json {
        true => serde_json::to_string_pretty(&summary)? + "\n",
        false => summary.table(),
    })
}
