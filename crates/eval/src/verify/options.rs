//! What can be asked for: the options of the command, and what they come to.

use std::path::{Path, PathBuf};
use std::time::Duration;

use codeact_sandbox::Policy;

use super::class::Verdict;
use super::equal::FLOAT_TOLERANCE;
use crate::{EvalError, SandboxArgs, beside, check_distinct};

/// Options of `verify`.
#[derive(Debug, Clone, clap::Args)]
pub struct VerifyArgs {
    /// Conversations: JSON lines {"id","conversations":[{"role","content"}]}
    #[arg(value_name = "DATA")]
    pub data: PathBuf,
    /// Rows that are kept, byte for byte, in their order
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// One JSON line for each row: verdict, reason, what differs [default: the name of --out with .report]
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Write the rows that are not kept here, byte for byte
    #[arg(long, value_name = "FILE")]
    pub rest: Option<PathBuf>,
    /// Verdicts whose rows are kept
    #[arg(long, value_name = "VERDICT,..", value_delimiter = ',', value_parser = kept_verdict)]
    #[arg(default_value = "reproduced,flagged,not_verifiable")]
    pub keep: Vec<Verdict>,
    /// What a line that is no conversation does: nothing is run, or it is left out and counted
    #[arg(long, value_name = "WHAT", value_enum, default_value_t)]
    pub on_bad_row: OnBadRow,
    /// Rows that run at once; without it, one for each processor
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub parallel: Option<u16>,
    /// Python that runs before each row: functions and data that the rows speak of
    #[arg(long, value_name = "FILE")]
    pub setup: Option<PathBuf>,
    /// Seed of `random`, of NumPy and of the order of sets
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub seed: u32,
    /// Relative difference of numbers with a fraction that is none
    #[arg(long, value_name = "NUMBER", default_value_t = FLOAT_TOLERANCE, value_parser = tolerance)]
    pub float_tolerance: f64,
    /// Seconds for all cells of a row together
    #[arg(long, value_name = "NUMBER", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=604_800))]
    pub row_seconds: u64,
    /// Parts of an id, between slashes, that name its source; the last part never does
    #[arg(long, value_name = "NUMBER", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub source_depth: u8,
    /// Begin anew, though there is progress of an earlier run
    #[arg(long)]
    pub restart: bool,
    /// Print the summary as JSON
    #[arg(long)]
    pub json: bool,
    /// See there.
    #[command(flatten)]
    pub sandbox: SandboxArgs,
}

/// What happens to a line that is no conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum OnBadRow {
    /// Nothing is run before all lines are conversations
    #[default]
    Error,
    /// It is left out, reported and counted
    Skip,
}

fn kept_verdict(text: &str) -> Result<Verdict, String> {
    let found = Verdict::ALL.into_iter().find(|verdict| verdict.name() == text && *verdict != Verdict::Unreadable);
    found.ok_or_else(|| "one of reproduced, flagged, not_verifiable and dropped".to_owned())
}

fn tolerance(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "this is no number".to_owned())?;
    match (0.0..0.1).contains(&number) {
        true => Ok(number),
        false => Err("it must be at least 0 and less than 0.1".to_owned()),
    }
}

/// How rows are run again and compared.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    /// What sessions run under. Seed of hashes, time zone and checkpoints are set for each.
    pub policy: Policy,
    /// Rows that run at once.
    pub parallel: usize,
    /// Seed of `random`, of NumPy and of the order of sets.
    pub seed: u32,
    /// A file and the Python in it, which runs before each row.
    pub setup: Option<(PathBuf, String)>,
    /// Relative difference of numbers that is none.
    pub float_tolerance: f64,
    /// Time for all cells of a row together.
    pub row_time_max: Duration,
    /// Verdicts whose rows are kept.
    pub keep: Vec<Verdict>,
    /// What happens to lines that are no conversations.
    pub on_bad_row: OnBadRow,
    /// Parts of an id that name its source.
    pub source_depth: usize,
    /// Whether progress of an earlier run is thrown away.
    pub restart: bool,
}

impl VerifyOptions {
    /// What is asked for where nothing is said, under `policy`; of verdicts, those that speak for a conversation are kept.
    pub fn of(policy: Policy) -> VerifyOptions {
        VerifyOptions {
            policy,
            parallel: std::thread::available_parallelism().map_or(1, usize::from),
            seed: 0,
            setup: None,
            float_tolerance: FLOAT_TOLERANCE,
            row_time_max: Duration::from_secs(300),
            keep: vec![Verdict::Reproduced, Verdict::Flagged],
            on_bad_row: OnBadRow::Error,
            source_depth: 1,
            restart: false,
        }
    }
}

impl VerifyArgs {
    /// What they come to, under the policy of a sandbox that was started with them.
    ///
    /// # Errors
    /// When the setup cannot be read.
    pub fn options(&self, policy: Policy) -> Result<VerifyOptions, EvalError> {
        let read = |path: &PathBuf| {
            let text = std::fs::read_to_string(path);
            text.map(|text| (path.clone(), text)).map_err(|source| EvalError::Read { path: path.clone(), source })
        };
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(VerifyOptions {
            policy,
            parallel: self.parallel.map_or(processors, usize::from),
            seed: self.seed,
            setup: self.setup.as_ref().map(read).transpose()?,
            float_tolerance: self.float_tolerance,
            row_time_max: Duration::from_secs(self.row_seconds),
            keep: self.keep.clone(),
            on_bad_row: self.on_bad_row,
            source_depth: self.source_depth.into(),
            restart: self.restart,
        })
    }

    /// Where everything is written.
    ///
    /// # Errors
    /// When two of the files are the same.
    pub fn files(&self) -> Result<VerifyFiles, EvalError> {
        let files = VerifyFiles {
            data: self.data.clone(),
            out: self.out.clone(),
            report: self.report.clone().unwrap_or_else(|| beside(&self.out, ".report")),
            rest: self.rest.clone(),
            progress: beside(&self.out, ".progress"),
        };
        let VerifyFiles { data, out, report, rest, progress } = &files;
        let written = [Some(out), Some(report), rest.as_ref(), Some(progress)];
        let written: Vec<&Path> = written.into_iter().flatten().map(PathBuf::as_path).collect();
        check_distinct(&written, &[data])?;
        Ok(files)
    }
}

/// The files of a verification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyFiles {
    /// What is verified.
    pub data: PathBuf,
    /// Rows that are kept.
    pub out: PathBuf,
    /// One line for each row.
    pub report: PathBuf,
    /// Rows that are not kept.
    pub rest: Option<PathBuf>,
    /// What is done so far; gone at the end.
    pub progress: PathBuf,
}
