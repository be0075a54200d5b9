//! Why tasks cannot be read or run.

use std::path::PathBuf;

use codeact_agent::{AgentError, EndpointError};
use codeact_chat::FormatError;
use codeact_engine::EngineError;
use codeact_model::ModelError;
use codeact_model::source::SourceError;
use codeact_sandbox::{FileError, SandboxError};

/// Errors of this crate, with place, value and way out. A task that the model does not solve is not one.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// A file cannot be read.
    #[error("cannot read `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write `{path}`")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file for the results could not be written, as was found before the work began.
    #[error("cannot write `{path}`: {reason}\nhint: give a file in a folder that exists and that you may write to")]
    Out {
        /// The file.
        path: PathBuf,
        /// What the system said; in the message itself, before the hint.
        reason: std::io::Error,
    },
    /// A line is not what it should be.
    #[error("`{path}` line {line}: {what}")]
    Line {
        /// The file.
        path: PathBuf,
        /// Line counted from 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
    /// A file or folder of a benchmark is not what its format says.
    #[error("`{path}`{place}: {what}\nhint: {hint}")]
    Benchmark {
        /// The file or folder.
        path: PathBuf,
        /// ` line 3`, counted from 1, or nothing.
        place: String,
        /// What is wrong there.
        what: String,
        /// What to do.
        hint: String,
    },
    /// There is nothing to do.
    #[error("`{path}` has no lines\nhint: each line is one JSON object")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// Suites that are not as they should be.
    #[error("{}", faulty_suites(faults, *count))]
    Suites {
        /// One for each thing that is wrong, with its place; the first of them.
        faults: Vec<String>,
        /// How many there are.
        count: usize,
    },
    /// A file of tools defines none.
    #[error("`{path}` has no tools: {reason}")]
    Tools {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A store of skills cannot be used.
    #[error("the skills in `{path}` cannot be used: {reason}")]
    Skills {
        /// The folder.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The code of a grader cannot decide anything.
    #[error("the grader cannot be run: {reason}")]
    Grader {
        /// Why.
        reason: String,
    },
    /// The files of a task cannot be put into the workspace.
    #[error("the files of `{id}` cannot be put into the workspace")]
    Files {
        /// The task.
        id: String,
        /// Why.
        source: FileError,
    },
    /// The code that prepares the session of a task fails.
    #[error("the setup of `{id}` fails:\n{observation}")]
    Setup {
        /// The task.
        id: String,
        /// What the code left behind.
        observation: String,
    },
    /// Plans whose script does not do what it should.
    #[error("{} of {plans} plans are wrong; nothing was written\n{}", faults.len(), faults.join("\n"))]
    Plans {
        /// How many plans there are.
        plans: usize,
        /// One line for each wrong one, with its id.
        faults: Vec<String>,
    },
    /// The loop cannot go on.
    #[error("task `{id}` failed")]
    Agent {
        /// The task.
        id: String,
        /// Why.
        source: AgentError,
    },
    /// A model elsewhere does not answer, whatever it is asked.
    #[error(
        "{count} tries in a row had no answer, the last one of task `{id}`: {reason}\nhint: see what the server says of it; the \
         same command goes on from there"
    )]
    Unanswered {
        /// Tries in a row.
        count: usize,
        /// The task of the last one.
        id: String,
        /// What the server says.
        reason: String,
    },
    /// The model behind an address cannot be asked.
    #[error(transparent)]
    Endpoint(EndpointError),
    /// Python does not start.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The model cannot be found or fetched.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The weights of the model cannot be loaded.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// An environment is asked for what it cannot do.
    #[error("{0}")]
    Environment(String),
    /// Options contradict each other.
    #[error("{0}")]
    Options(String),
    /// The engine cannot work within its limits.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The chat format of the model cannot be loaded.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The profile of the model cannot be loaded.
    #[error(transparent)]
    Profile(AgentError),
    /// Lines of a data file are no conversations.
    #[error(
        "`{path}` line {line}: {what}; {count} of {rows} lines are no conversations, and nothing was run\nhint: each line is \
         one object {{\"id\": \"..\", \"conversations\": [{{\"role\": \"..\", \"content\": \"..\"}}, ..]}}; with `--on-bad-row \
         skip` such lines are left out and reported"
    )]
    BadRows {
        /// The file.
        path: PathBuf,
        /// The first of them, counted from 1.
        line: usize,
        /// What is wrong with it.
        what: String,
        /// How many there are.
        count: usize,
        /// Lines in all.
        rows: usize,
    },
    /// A file that is read more than once can be read only once.
    #[error("`{path}` is no plain file\nhint: it is read more than once; write it into a file first")]
    NotPlain {
        /// The file.
        path: PathBuf,
    },
    /// A data file is not what it was at the start.
    #[error("`{path}` has changed while it was verified; nothing was written\nhint: start again once it is complete")]
    DataChanged {
        /// The file.
        path: PathBuf,
    },
    /// Another process writes the same results.
    #[error("`{path}` is in use by another run\nhint: wait for it, or give another `--out`")]
    Busy {
        /// The progress of that run.
        path: PathBuf,
    },
    /// The progress on the disk is that of a run with other settings.
    #[error(
        "`{path}` holds the progress of another run: {what}\nhint: use its settings to go on, or `--restart` to throw it away"
    )]
    OtherRun {
        /// The progress of that run.
        path: PathBuf,
        /// What differs.
        what: String,
    },
    /// Somebody stopped it, and it can go on.
    #[error(
        "stopped after {done} of {all} rows, which are kept in `{path}`\nhint: the same command goes on from there"
    )]
    Stopped {
        /// Rows that are done.
        done: usize,
        /// Rows in all.
        all: usize,
        /// Where they are kept.
        path: PathBuf,
    },
    /// Somebody stopped a collection, and it can go on.
    #[error("stopped after {done} attempts, which are kept in `{path}`\nhint: the same command goes on from there")]
    Paused {
        /// Attempts that are done.
        done: usize,
        /// Where they are kept.
        path: PathBuf,
    },
    /// The results on the disk are those of a run with other settings.
    #[error(
        "`{path}` holds the results of another run: {what}\nhint: use its settings to go on, or give another `--out`"
    )]
    OtherResults {
        /// The results of that run.
        path: PathBuf,
        /// What differs.
        what: String,
    },
    /// Somebody stopped it, and it can go on.
    #[error(
        "stopped after {done} of {all} tries, which are kept in `{path}`\nhint: the same command goes on from there"
    )]
    Interrupted {
        /// Tries that ended.
        done: usize,
        /// Tries in all.
        all: usize,
        /// Where they are kept.
        path: PathBuf,
    },
}

fn faulty_suites(faults: &[String], count: usize) -> String {
    let more = count - faults.len().min(count);
    let more = if more > 0 { format!("\nand {more} more") } else { String::new() };
    match (faults, count) {
        ([fault], 1) => fault.clone(),
        _ => format!("{count} things are wrong\n{}{more}", faults.join("\n")),
    }
}

impl EvalError {
    /// Whether the input is at fault, rather than the run.
    pub fn is_bad_input(&self) -> bool {
        match self {
            EvalError::Source(source) => source.is_bad_input(),
            EvalError::Sandbox(sandbox) => sandbox.is_bad_input(),
            EvalError::Endpoint(error) => {
                matches!(error, EndpointError::BadUrl { .. } | EndpointError::NoModel { .. })
            }
            EvalError::Write { .. }
            | EvalError::Agent { .. }
            | EvalError::Unanswered { .. }
            | EvalError::Interrupted { .. }
            | EvalError::Stopped { .. }
            | EvalError::Paused { .. } => false,
            _ => true,
        }
    }
}
