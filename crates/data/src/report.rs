//! What became of the conversations of each file, in numbers and in a line.

use std::fmt;
use std::path::PathBuf;

use crate::encode::{EncodedFile, Rejected};
use crate::shape::Shape;

/// What became of a file's conversations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileReport {
    /// The file.
    pub path: PathBuf,
    /// Of its content, in hex.
    pub sha256: String,
    /// Index of its source.
    pub source: usize,
    /// Whether all of it is measured instead of learned.
    pub is_held_out: bool,
    /// How its rows are written.
    pub shape: Shape,
    /// Whether an earlier run encoded it.
    pub is_cached: bool,
    /// Rows of the file.
    pub row_count: usize,
    /// Rows that could not be used.
    pub rejected: Vec<Rejected>,
    /// Keys that were not used.
    pub ignored_keys: Vec<String>,
    /// Left out by the filter.
    pub filtered: usize,
    /// Left out because they are too long.
    pub dropped: usize,
    /// Cut at the end, and still there.
    pub truncated: usize,
    /// Held out.
    pub held_out: usize,
    /// Left out because `max_samples` is reached.
    pub not_drawn: usize,
    /// Learned from.
    pub train_count: usize,
    /// Tokens that are left, held-out ones included.
    pub token_count: usize,
    /// Supervised tokens that are left, held-out ones included.
    pub target_count: usize,
}

impl fmt::Display for FileReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = if self.is_held_out { "validation" } else { "train" };
        let FileReport { row_count, dropped, truncated, token_count, target_count, .. } = self;
        write!(
            formatter,
            "{part:<10} {row_count} conversations, {dropped} dropped as too long, {truncated} truncated"
        )?;
        let rejected: u64 = self.rejected.iter().map(|rejected| rejected.count).sum();
        for (count, what) in [
            (rejected as usize, "rejected"),
            (self.filtered, "filtered out"),
            (self.not_drawn, "beyond max_samples"),
            (if self.is_held_out { 0 } else { self.held_out }, "held out"),
        ] {
            if count > 0 {
                write!(formatter, ", {count} {what}")?;
            }
        }
        write!(
            formatter,
            "; {token_count} tokens, {target_count} supervised: `{}`, {}",
            self.path.display(),
            self.shape
        )?;
        if self.is_cached { formatter.write_str(", from the cache") } else { Ok(()) }
    }
}

impl FileReport {
    /// A file before anything of it is chosen.
    pub(crate) fn new(file: &EncodedFile, source: usize, is_held_out: bool) -> FileReport {
        FileReport {
            path: file.path.clone(),
            sha256: file.sha256.clone(),
            source,
            is_held_out,
            shape: file.shape,
            is_cached: file.is_cached,
            row_count: file.row_count as usize,
            rejected: file.rejected.clone(),
            ignored_keys: file.ignored_keys.clone(),
            filtered: 0,
            dropped: 0,
            truncated: 0,
            held_out: 0,
            not_drawn: 0,
            train_count: 0,
            token_count: 0,
            target_count: 0,
        }
    }
}
