//! The suite that an import writes: beside its place, read again as any other suite, and then renamed.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use serde_json::Value;

use super::{Benchmark, Draft};
use crate::EvalError;
use crate::suite::load_suites;
use crate::written::partial_path;

/// Refuses a folder that is there.
pub(super) fn check_free(out: &Path) -> Result<(), EvalError> {
    match out.symlink_metadata() {
        Ok(_) => Err(EvalError::Options(format!(
            "`{}` is there already\nhint: give the name of a new folder as `--out`",
            out.display()
        ))),
        Err(_) => Ok(()),
    }
}

/// Writes `draft` into the new folder `out`.
pub(super) fn write(out: &Path, name: &str, benchmark: Benchmark, draft: &Draft) -> Result<(), EvalError> {
    let partial = partial_path(out);
    fs::create_dir(&partial).map_err(|source| match source.kind() {
        std::io::ErrorKind::AlreadyExists => EvalError::Options(format!(
            "`{}` is there: an import was cut off, or is still running\nhint: remove it, or give another `--out`",
            partial.display()
        )),
        _ => EvalError::Write { path: partial.clone(), source },
    })?;
    let written = fill(&partial, name, benchmark, draft).and_then(|()| {
        load_suites(&[&partial]).map_err(|error| said_of(error, &partial, out))?;
        fs::rename(&partial, out).map_err(|source| EvalError::Write { path: out.to_owned(), source })
    });
    if written.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_dir_all(&partial);
    }
    written
}

fn fill(folder: &Path, name: &str, benchmark: Benchmark, draft: &Draft) -> Result<(), EvalError> {
    put(&folder.join("suite.toml"), &head(name, benchmark, draft))?;
    for (name, tasks) in &draft.files {
        let lines: String = tasks.iter().map(|task| format!("{task}\n")).collect();
        put(&folder.join(format!("{name}.jsonl")), &lines)?;
    }
    Ok(())
}

fn head(name: &str, benchmark: Benchmark, draft: &Draft) -> String {
    let about = benchmark.about();
    let split = draft.split.as_ref().map(|split| format!(" {split}")).unwrap_or_default();
    let sources = draft.sources.join(", ");
    let description = format!("{}{split} ({}), imported from {sources}.", about.title, about.origin);
    let mut head = format!(
        "name = {}\ndescription = {}\nlicence = {}\n",
        quoted(name),
        quoted(&description),
        quoted(about.licence)
    );
    if let Some(turns) = about.turns {
        head.push_str(&format!("\n[defaults.limits]\nturns = {turns}\n"));
    }
    head
}

/// A text of TOML, which one of JSON is but for a character that it leaves alone.
fn quoted(text: &str) -> String {
    Value::from(text.replace('\u{7f}', " ")).to_string()
}

fn put(path: &Path, text: &str) -> Result<(), EvalError> {
    let written = fs::File::create(path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|source| EvalError::Write { path: path.to_owned(), source })
}

/// Faults of tasks that were made: what is in the source fits into no suite.
fn said_of(error: EvalError, partial: &Path, out: &Path) -> EvalError {
    let (from, to) = (partial.display().to_string(), out.display().to_string());
    match error {
        EvalError::Suites { faults, count } => {
            let told = faults.into_iter().map(|fault| fault.replace(&from, &to)).collect();
            EvalError::Suites { faults: told, count }
        }
        other => other,
    }
}
