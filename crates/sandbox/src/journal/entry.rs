//! What can happen in a session, as it is written down.

use super::compare::normalized;
use super::digest;
use crate::CellEnd;
use serde::{Deserialize, Serialize};

/// One event of a session. Code and output are kept as they are, secrets in them included.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Entry {
    /// The session began, with nothing in it. A second one: all variables were lost, and the files that were left follow.
    Started {
        /// Version of Python.
        python: String,
        /// Modules that were loaded before the first cell.
        imports: Vec<String>,
        /// What the session was allowed, for people and for the restart.
        policy: serde_json::Value,
    },
    /// A file was put into the workspace.
    Uploaded {
        /// Where, in the workspace.
        path: String,
        /// Its content: see [`super::Journal::blob`].
        blob: String,
        /// Its size.
        bytes: u64,
    },
    /// Something was removed from the workspace, from outside.
    Removed {
        /// What, in the workspace.
        path: String,
    },
    /// A cell was run.
    Cell(RecordedCell),
    /// The newest cells that still held were taken back, with all that happened to the workspace since.
    Undone {
        /// How many; cells that were rolled back do not count.
        cells: u64,
    },
    /// Another session began from here.
    Branched {
        /// Sequence number of the last event that both share.
        at: u64,
        /// Name of the other session.
        into: String,
    },
    /// The session was restored by running its steps again.
    Restored {
        /// What came out differently.
        differences: Vec<String>,
    },
    /// The session was ended on purpose.
    Ended,
}

/// A cell and what it left behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedCell {
    /// What was run.
    pub code: String,
    /// How it ended.
    pub end: CellEnd,
    /// Standard output.
    pub stdout: Output,
    /// Standard error.
    pub stderr: Output,
    /// `repr` of the last expression.
    pub value: Option<String>,
    /// The traceback, or how the interpreter ended.
    pub error: Option<String>,
    /// Whether the session went back to the state before the cell, so that it had no effect.
    pub rolled_back: bool,
    /// Why files did not go back with it, or were lost.
    #[serde(default)]
    pub unrestored: Option<String>,
    /// The whole output where the texts are cut: see [`super::Journal::blob`].
    pub full_output: Option<String>,
    /// Its calls of tools and their results, which is a list of [`crate::Call`] as JSON: see [`super::Journal::blob`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<String>,
    /// Figures and the like that it showed, in order. They are kept, and not compared with those of another run.
    #[serde(default)]
    pub displays: Vec<RecordedDisplay>,
    /// Paths in the workspace that were written or removed.
    pub files_changed: Vec<String>,
}

/// One form of something that a cell showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedDisplay {
    /// What it is: `image/png`.
    pub mime: String,
    /// Its content: see [`super::Journal::blob`].
    pub blob: String,
}

/// Text that a cell wrote, whole or its two ends.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// The text, or its first and last part around a line that says how much is missing.
    pub text: String,
    /// Size of all of it.
    pub bytes: u64,
    /// SHA-256 of all of it without addresses and times, by which a run is compared to another.
    pub digest: String,
}

impl Output {
    /// Keep `text`; of a longer one than `bytes_max` the two ends.
    pub fn of(text: &str, bytes_max: usize) -> Output {
        let digest = digest(normalized(text).as_bytes());
        let bytes = text.len() as u64;
        if text.len() <= bytes_max {
            return Output { text: text.to_string(), bytes, digest };
        }
        let head = &text[..text.floor_char_boundary(bytes_max.div_ceil(2))];
        let tail = &text[text.ceil_char_boundary(text.len() - bytes_max / 2)..];
        let missing = text.len() - head.len() - tail.len();
        Output { text: format!("{head}\n[... {missing} bytes not kept ...]\n{tail}"), bytes, digest }
    }
}

/// An event with its place in the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Counts from 0 without gaps.
    pub sequence: u64,
    /// When it was written, in milliseconds since 1970, by a clock that may jump.
    pub milliseconds: u64,
    /// What happened.
    #[serde(flatten)]
    pub entry: Entry,
}
