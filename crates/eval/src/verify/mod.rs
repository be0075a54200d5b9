//! Are the outputs in a data set true? The code of each row is run again, turn by turn, and what it gives is compared.
//!
//! A row is `reproduced` when every output that could be compared came out the same; `flagged` when something differs
//! that something else than a wrong row explains (chance, the clock, other words of the same error); `dropped` when the
//! code does not give what the row says; `not_verifiable` when it needs what is not here, such as a tool or a package,
//! or has no code. Rows are written byte for byte as they were; what was found stands in a report beside them.
//!
//! Nothing is left to chance that can be fixed: `random`, NumPy and the order of sets have a seed, the time zone is UTC.
//! Where an output differs, the row runs once more with other seeds, to tell chance from contradiction.

mod class; // read first: how an output can differ, and what that does to its row

pub(crate) mod rows; // the rows of a file

mod frame; // an output without the words around it

mod recorded; // an output taken apart

mod text; // what of a text is chance

mod equal; // when two texts say the same

mod judge; // one output, then and now

mod scan; // what code asks for, as its text shows

mod replay; // one row

mod one; // one conversation, of a task that is at hand

mod progress; // what is done, on the disk

mod summary; // what came of all

mod options; // what can be asked for

#[cfg(test)]
mod tests;

#[cfg(test)]
mod fuzz;

pub use class::{Reason, Verdict};
pub use one::verify_conversation;
pub use options::{OnBadRow, VerifyArgs, VerifyFiles, VerifyOptions};
pub use replay::{Difference, RowReport};
pub use summary::{ReasonTally, SourceTally, VerifySummary};

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use sha2::{Digest, Sha256};

use crate::{EvalError, in_order};
use progress::{Identity, Progress};
use replay::Replayer;
use rows::Rows;

/// Changes with everything that makes the same row come out otherwise.
const RULES_VERSION: u32 = 2;
/// What the interpreter has, as JSON: its packages, and the names that the setup defines.
const PROBE: &str = "(lambda names, metadata, json: print(json.dumps([sorted({f\"{one.metadata['Name']}=={one.version}\" \
    for one in metadata.distributions()}), names])))([name for name in globals() if not name.startswith('_')], \
    __import__('importlib.metadata').metadata, __import__('json'))";

/// A verification that can begin, or go on.
#[derive(Debug)]
pub struct Verification {
    files: VerifyFiles,
    options: VerifyOptions,
    rows: Rows,
    progress: Progress,
    done: BTreeMap<usize, RowReport>,
    identity: Identity,
    packages: Vec<String>,
    known: Vec<String>,
}

impl Verification {
    /// Reads where rows stand, asks the interpreter what it has, and finds what is done already.
    ///
    /// # Errors
    /// When a file cannot be used, a line is no conversation (unless such are left out), the setup fails, Python does
    /// not start, or the progress that is there belongs to another run.
    pub fn open(files: VerifyFiles, options: VerifyOptions) -> Result<Verification, EvalError> {
        let rows = Rows::open(&files.data)?;
        for path in [Some(&files.out), Some(&files.report), files.rest.as_ref()].into_iter().flatten() {
            crate::check_writable(path)?;
        }
        if options.on_bad_row == OnBadRow::Error
            && let Some((line, what, count)) = rows.faults()?
        {
            return Err(EvalError::BadRows { path: files.data, line, what, count, rows: rows.count() });
        }
        let (packages, known, python) = ask(&Replayer { options: &options, known: Vec::new(), task: None })?;
        let identity = identity(&rows, &options, &packages, &python);
        let (progress, done) = Progress::open(&files.progress, &identity, options.restart)?;
        Ok(Verification { files, options, rows, progress, done, identity, packages, known })
    }

    /// Rows in all.
    pub fn row_count(&self) -> usize {
        self.rows.count()
    }

    /// Rows that an earlier run has done.
    pub fn done_count(&self) -> usize {
        self.done.len()
    }

    /// Runs what is left, and writes the files. `on_row` is called after each row, from any thread.
    ///
    /// # Errors
    /// When a file cannot be written, the data changes meanwhile, Python does not start any more, or `stop` was set:
    /// then what is done is kept for the next run.
    pub fn run(mut self, stop: &AtomicBool, on_row: &(dyn Fn(&RowReport) + Sync)) -> Result<VerifySummary, EvalError> {
        let started = Instant::now();
        let left: Vec<usize> =
            (0..self.rows.count()).filter(|&index| !self.done.contains_key(&self.rows.line(index))).collect();
        let replayer = Replayer { options: &self.options, known: self.known.clone(), task: None };
        let failure = Mutex::new(None);
        let fresh = in_order(&left, self.options.parallel, |_, &index| {
            if stop.load(Ordering::Relaxed) {
                return None;
            }
            match self.one(&replayer, index) {
                Ok(report) => {
                    on_row(&report);
                    Some(report)
                }
                Err(error) => {
                    failure.lock().expect("nothing panics while it holds this lock").get_or_insert(error);
                    None
                }
            }
        });
        self.done.extend(fresh.into_iter().flatten().map(|report| (report.line, report)));
        if let Some(error) = failure.into_inner().expect("nothing panics while it holds a lock") {
            return Err(error);
        }
        if self.done.len() < self.rows.count() {
            let (done, all) = (self.done.len(), self.rows.count());
            return Err(EvalError::Stopped { done, all, path: self.files.progress });
        }
        self.rows.check_unchanged()?;
        self.conclude(started)
    }

    fn one(&self, replayer: &Replayer<'_>, index: usize) -> Result<RowReport, EvalError> {
        let line = self.rows.line(index);
        let report = match self.rows.row(index)? {
            Ok(row) => replayer.report(&row, line)?,
            Err(what) => RowReport::unreadable(line, what),
        };
        self.progress.add(&report)?;
        Ok(report)
    }

    /// Writes rows and report, each whole or not at all, and then gives up the progress.
    fn conclude(mut self, started: Instant) -> Result<VerifySummary, EvalError> {
        for report in self.done.values_mut() {
            report.source = summary::source_of(&report.id, self.options.source_depth);
        }
        let is_kept = |report: &RowReport| self.options.keep.contains(&report.verdict);
        let index_of: BTreeMap<usize, usize> =
            (0..self.rows.count()).map(|index| (self.rows.line(index), index)).collect();
        let rows_that = |path: &Path, is_wanted: &dyn Fn(&RowReport) -> bool| {
            write_lines(path, self.done.values().filter(|report| is_wanted(report)), |report| {
                self.rows.bytes(index_of[&report.line])
            })
        };
        let kept = rows_that(&self.files.out, &is_kept)?;
        if let Some(rest) = &self.files.rest {
            rows_that(rest, &|report| !is_kept(report))?;
        }
        write_lines(&self.files.report, self.done.values(), |report| {
            Ok(serde_json::to_vec(report).expect("a report has only text keys and whole numbers"))
        })?;
        let (all, sources, reasons) = summary::tallies(self.done.values());
        self.progress.finish()?;
        Ok(VerifySummary {
            data: self.files.data.display().to_string(),
            out: self.files.out.display().to_string(),
            kept,
            report: self.files.report.display().to_string(),
            all,
            sources,
            reasons,
            run: self.identity,
            packages: self.packages,
            seconds: started.elapsed().as_secs_f64(),
        })
    }
}

/// Packages, names that the setup defines, and the version of the interpreter with what stands around it.
fn ask(replayer: &Replayer<'_>) -> Result<(Vec<String>, Vec<String>, String), EvalError> {
    let mut session = replayer.session(0)?;
    let cell = session.run(PROBE, &mut |_| {})?;
    let found = serde_json::from_str(cell.stdout.trim());
    let (packages, known): (Vec<String>, Vec<String>) = found.map_err(|_| EvalError::Setup {
        id: "the question which packages there are".to_owned(),
        observation: cell.observation(2000),
    })?;
    // What a cell can reach is part of what comes out.
    let python = format!("{}, rung {}", session.python_version(), session.protection().rung.name());
    Ok((packages, known, python))
}

fn identity(rows: &Rows, options: &VerifyOptions, packages: &[String], python: &str) -> Identity {
    let digest = |text: &str| -> String {
        Sha256::digest(text.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    };
    let (policy, limits) = (&options.policy, &options.policy.limits);
    let setup = options.setup.as_ref().map_or("none".to_owned(), |(_, text)| digest(text));
    let pairs = [
        ("rules", RULES_VERSION.to_string()),
        ("data", rows.digest.clone()),
        ("python", format!("{} ({python})", policy.python.display())),
        ("packages", digest(&packages.join("\n"))),
        ("preimport", policy.imports.join(",")),
        ("network", format!("{:?}", policy.network)),
        ("setup", setup),
        ("seed", options.seed.to_string()),
        ("float_tolerance", options.float_tolerance.to_string()),
        ("cell_ms", limits.wall_ms_max.to_string()),
        ("row_ms", options.row_time_max.as_millis().to_string()),
        ("memory_bytes", limits.memory_bytes_max.to_string()),
        ("disk_bytes", limits.disk_bytes_max.to_string()),
        ("processes", limits.processes_max.to_string()),
        ("on_bad_row", format!("{:?}", options.on_bad_row).to_lowercase()),
    ];
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// Writes a line for each of `reports`, beside `path`, and renames. Returns how many there were.
fn write_lines<'a>(
    path: &Path,
    reports: impl Iterator<Item = &'a RowReport>,
    line: impl Fn(&RowReport) -> Result<Vec<u8>, EvalError>,
) -> Result<usize, EvalError> {
    let failed = |source| EvalError::Write { path: path.to_owned(), source };
    let partial = crate::written::partial_path(path);
    let mut writer = BufWriter::new(File::create(&partial).map_err(failed)?);
    let mut count = 0;
    for report in reports {
        let mut bytes = line(report)?;
        bytes.push(b'\n');
        writer.write_all(&bytes).map_err(failed)?;
        count += 1;
    }
    let synced = writer.into_inner().map_err(|error| failed(error.into_error()))?.sync_all();
    synced.and_then(|()| std::fs::rename(&partial, path)).map_err(failed)?;
    Ok(count)
}
