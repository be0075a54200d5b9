//! `codeact-eval report`: a page about results, of one run or of several beside each other.

use std::path::{Path, PathBuf};

use codeact_eval::measure::{Summary, html, load};
use codeact_eval::{check_writable, write_atomically};

/// Names of a page about one run, and of one about several.
const NAMES: [&str; 2] = ["report.html", "comparison.html"];

/// What to read, and where to write.
#[derive(clap::Args)]
pub struct ReportArgs {
    /// Folders of `codeact-eval run`
    #[arg(required = true, value_name = "DIR")]
    folders: Vec<PathBuf>,
    /// The page; without it, report.html or comparison.html in the first folder
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print the numbers as JSON instead of tables
    #[arg(long)]
    json: bool,
}

pub fn report(args: &ReportArgs) -> anyhow::Result<String> {
    let page = args.out.clone().unwrap_or_else(|| args.folders[0].join(NAMES[usize::from(args.folders.len() > 1)]));
    check_writable(&page)?;
    let summary = write_page(&args.folders, &page)?;
    printed(&summary, args.json)
}

/// Writes a page about the runs in `folders`, and returns what is on it in numbers.
pub fn write_page(folders: &[PathBuf], page: &Path) -> anyhow::Result<Summary> {
    let loaded = load(folders, true)?;
    write_atomically(page, html(&loaded.summary, &loaded.records).as_bytes())?;
    eprintln!("wrote `{}`", page.display());
    Ok(loaded.summary)
}

/// A summary for stdout.
pub fn printed(summary: &Summary, json: bool) -> anyhow::Result<String> {
    Ok(match json {
        true => serde_json::to_string_pretty(summary)? + "\n",
        false => summary.table(),
    })
}
