//! One page about a run, or about several beside each other, made of nothing but the files in their folders.
//!
//! A run may be going on, may have been killed in the middle of a line, or may come from strangers: whatever cannot be
//! read is counted and said, nothing is taken for markup, and the page needs no script and no network.

mod lines; // objects of a file of lines, however broken
mod history; // metrics.jsonl
mod folder; // everything there is of a run

mod axis; // ticks and numbers in words
mod chart; // curves as SVG, and as a table
mod charts; // which curves there are
mod curve; // smoothing and thinning

mod data; // files, rows, tokens
mod samples; // what the model wrote on the way
mod settings; // the settings, and what differs between runs
mod summary; // the run in a few numbers

mod page; // all of it

use std::path::{Path, PathBuf};

use crate::error::TrainError;
use crate::folder::write_file;
use codeact_data::page::text;

pub use folder::Run;
pub use history::{History, Row};
pub use page::html;

/// Most runs on one page: as many as there are colours that can be told apart.
const RUNS_MAX: usize = 8;

/// Name of a page about one run, and of one about several.
const NAMES: [&str; 2] = ["report.html", "comparison.html"];

/// Writes a page about the runs in these folders to `out`, or into the first folder. Returns where it lies.
///
/// # Errors
/// When a folder holds no run, there are too many of them, or a file cannot be read or written.
pub fn write(folders: &[PathBuf], out: Option<&Path>) -> Result<PathBuf, TrainError> {
    if folders.len() > RUNS_MAX {
        return Err(TrainError::TooManyRuns { count: folders.len(), max: RUNS_MAX });
    }
    let runs = folders.iter().map(|folder| Run::load(folder)).collect::<Result<Vec<_>, _>>()?;
    let name = NAMES[usize::from(runs.len() > 1)];
    let target = out.map_or_else(|| folders[0].join(name), Path::to_owned);
    write_file(&target, html(&runs).as_bytes())?;
    Ok(target)
}
