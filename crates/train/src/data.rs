//! Data files: read, turned into tokens and mask, and counted. Nothing is left out silently.

use std::fmt;
use std::path::{Path, PathBuf};

use codeact_chat::{ChatFormat, Example, Located, read_jsonl};
use sha2::{Digest, Sha256};

use crate::config::{DataFile, Split, TooLong};
use crate::error::TrainError;
use crate::hash;
use crate::plan::Document;

/// A file of conversations.
#[derive(Debug)]
pub struct SourceFile {
    /// The file.
    pub path: PathBuf,
    /// What it is for.
    pub split: Split,
    /// How often each conversation comes up in an epoch.
    pub repeat: usize,
    /// Its conversations, at least one.
    pub rows: Vec<Located>,
}

/// What became of a file's conversations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileReport {
    /// The file.
    pub path: PathBuf,
    /// What it is for.
    pub split: Split,
    /// Conversations in the file.
    pub row_count: usize,
    /// Conversations left out because they are too long.
    pub dropped: usize,
    /// Conversations cut at the end.
    pub truncated: usize,
    /// Tokens that are left.
    pub token_count: usize,
    /// Supervised tokens that are left.
    pub target_count: usize,
}

impl fmt::Display for FileReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FileReport { path, split, row_count, dropped, truncated, token_count, target_count } = self;
        write!(
            formatter,
            "{:<10} {row_count} conversations, {dropped} dropped as too long, {truncated} truncated; \
             {token_count} tokens, {target_count} supervised: `{}`",
            split.to_string(),
            path.display()
        )
    }
}

/// The conversations of one split, ready for packing.
#[derive(Debug, Default)]
pub struct Part {
    /// Tokens and mask.
    pub examples: Vec<Example>,
    /// Their sizes; same length.
    pub documents: Vec<Document>,
}

/// All data of a run.
#[derive(Debug)]
pub struct DataSet {
    /// To learn from; not empty.
    pub train: Part,
    /// Held out; may be empty.
    pub validation: Part,
    /// One per file.
    pub reports: Vec<FileReport>,
    /// sha256 over tokens, mask and repeats of the training part: changes with the files, the template and the policy.
    pub content_hash: String,
    /// The same over the held-out part.
    pub held_out_hash: String,
}

/// What becomes of long conversations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LengthPolicy {
    /// Most tokens of a conversation.
    pub tokens_max: usize,
    /// What to do beyond.
    pub too_long: TooLong,
}

/// Reads all files of the settings.
///
/// # Errors
/// A path that is not there, a folder without `.jsonl` files, and every fault inside a file, with its line.
pub fn read(files: &[DataFile]) -> Result<Vec<SourceFile>, TrainError> {
    let mut sources = Vec::new();
    for DataFile { path, split, repeat } in files {
        for path in expand(Path::new(path))? {
            let rows = read_jsonl(&path)?;
            sources.push(SourceFile { path, split: *split, repeat: *repeat, rows });
        }
    }
    Ok(sources)
}

/// A file is itself; a folder is its `.jsonl` files in order of name.
fn expand(path: &Path) -> Result<Vec<PathBuf>, TrainError> {
    let fault = |what: String| TrainError::DataPath { path: path.to_owned(), what };
    if !path.exists() {
        return Err(fault("there is no such file or folder".to_owned()));
    }
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path).map_err(|error| fault(error.to_string()))?;
    let mut found = Vec::new();
    for entry in entries {
        let file = entry.map_err(|error| fault(error.to_string()))?.path();
        if file.extension().is_some_and(|extension| extension == "jsonl") {
            found.push(file);
        }
    }
    found.sort();
    if found.is_empty() {
        return Err(fault("the folder has no .jsonl file".to_owned()));
    }
    Ok(found)
}

/// Turns conversations into examples and applies the policy for long ones.
///
/// # Errors
/// A conversation that the chat format refuses, a too long one where the policy is to refuse it, or a split of which
/// nothing is left.
pub fn render(sources: &[SourceFile], format: &ChatFormat, policy: LengthPolicy) -> Result<DataSet, TrainError> {
    let (mut train, mut validation, mut reports) = (Part::default(), Part::default(), Vec::new());
    for source in sources {
        let part = match source.split {
            Split::Train => &mut train,
            Split::Validation => &mut validation,
        };
        reports.push(render_file(source, format, policy, part)?);
    }
    for (split, part) in [(Split::Train, &train), (Split::Validation, &validation)] {
        let reports = || reports.iter().filter(|report| report.split == split);
        let row_count = reports().map(|report| report.row_count).sum();
        if part.examples.is_empty() && row_count > 0 {
            let too_long = reports().map(|report| report.dropped).sum();
            let max = policy.tokens_max;
            return Err(TrainError::NothingLeft { split: split.to_string(), row_count, too_long, max });
        }
    }
    let (content_hash, held_out_hash) = (content_hash(&train), content_hash(&validation));
    Ok(DataSet { train, validation, reports, content_hash, held_out_hash })
}

fn render_file(
    source: &SourceFile,
    format: &ChatFormat,
    policy: LengthPolicy,
    part: &mut Part,
) -> Result<FileReport, TrainError> {
    let mut report = FileReport {
        path: source.path.clone(),
        split: source.split,
        row_count: source.rows.len(),
        dropped: 0,
        truncated: 0,
        token_count: 0,
        target_count: 0,
    };
    let max = policy.tokens_max;
    for Located { conversation, line } in &source.rows {
        let (path, line) = (source.path.clone(), *line);
        let mut example = match format.example(conversation) {
            Ok(example) => example,
            Err(source) => return Err(TrainError::Row { path, line, source }),
        };
        let token_count = example.token_ids.len();
        if token_count > max {
            let cut_has_targets = example.is_target[..max].contains(&true);
            match policy.too_long {
                TooLong::Error => {
                    return Err(TrainError::TooLong { path, line, token_count, max });
                }
                TooLong::Truncate if cut_has_targets => {
                    example.token_ids.truncate(max);
                    example.is_target.truncate(max);
                    report.truncated += 1;
                }
                TooLong::Truncate | TooLong::Drop => {
                    report.dropped += 1;
                    continue;
                }
            }
        }
        let document = Document {
            token_count: example.token_ids.len(),
            target_count: example.is_target.iter().filter(|target| **target).count(),
            repeat: source.repeat,
        };
        report.token_count += document.token_count;
        report.target_count += document.target_count;
        part.examples.push(example);
        part.documents.push(document);
    }
    Ok(report)
}

fn content_hash(part: &Part) -> String {
    let mut hasher = Sha256::new();
    for (example, document) in part.examples.iter().zip(&part.documents) {
        hasher.update((document.token_count as u64).to_le_bytes());
        hasher.update((document.repeat as u64).to_le_bytes());
        for (id, is_target) in example.token_ids.iter().zip(&example.is_target) {
            hasher.update(id.to_le_bytes());
            hasher.update([u8::from(*is_target)]);
        }
    }
    hash::hex(&hasher.finalize())
}
