//! A file of data turned into tokens and masks by all threads, in the order of its rows.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use codeact_chat::{ChatFormat, FormatError};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cache::Cache;
use crate::error::{DataError, Rejection};
use crate::hash;
use crate::preview::harmless;
use crate::read::{RawRow, Rows};
use crate::shape::{self, Ignored, Row, Shape};
use crate::source::{OnBadRow, Role, RowFormat};
use crate::tokens::{self, Tokens, Writer};

/// Hears how encoding goes on; every method may stay as it is.
pub trait Watch: Sync {
    /// A file of so many bytes is begun.
    fn begin(&self, _path: &Path, _bytes: u64) {}
    /// So many bytes of it are done, and gave so many tokens.
    fn advance(&self, _bytes: u64, _tokens: u64) {}
    /// The file is done.
    fn end(&self) {}
    /// A sentence for the user.
    fn note(&self, _text: &str) {}
}

impl Watch for () {}

/// One conversation of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its id; empty where the row has none.
    pub id: String,
    /// Line of a text file, row of a table, counted from 1.
    pub line: u64,
    /// Messages but for the system's.
    pub turns: u32,
    /// First of its tokens among those of the file.
    pub(crate) start: u64,
    /// All of them.
    pub token_count: u32,
    /// Those that are learned.
    pub target_count: u32,
    /// Stands for tokens and mask.
    pub digest: [u64; 2],
    /// Stands for what the user says first, as [`hash::of_prompt`] makes it.
    pub prompt: [u64; 2],
    /// Where among its tokens the rejected conversation of a pair begins; 0 where there is one conversation.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) second: u32,
}

fn is_zero(second: &u32) -> bool {
    *second == 0
}

/// Rows that were left out for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// The reason in a few words.
    pub kind: String,
    /// How many.
    pub count: u64,
    /// The first of them, counted from 1.
    pub first_line: u64,
    /// What exactly was wrong with that one.
    pub example: String,
}

/// All conversations of a file, encoded.
#[derive(Debug)]
pub struct EncodedFile {
    /// The file.
    pub path: PathBuf,
    /// Of its content, in hex.
    pub sha256: String,
    /// How its rows are written.
    pub shape: Shape,
    /// Rows, rejected ones included.
    pub row_count: u64,
    /// Conversations in the order of the file; not empty.
    pub entries: Vec<Entry>,
    /// What was left out.
    pub rejected: Vec<Rejected>,
    /// Keys of rows that were not used.
    pub ignored_keys: Vec<String>,
    /// Whether an earlier run encoded it.
    pub is_cached: bool,
    pub(crate) tokens: Tokens,
}

/// What decides how a file is encoded, besides the chat format.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules<'a> {
    pub(crate) format: RowFormat,
    pub(crate) on_bad_row: OnBadRow,
    pub(crate) roles: &'a [Role],
}

/// What is kept of an encoded file beside its tokens.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Meta {
    pub(crate) shape: Shape,
    pub(crate) row_count: u64,
    pub(crate) entries: Vec<Entry>,
    pub(crate) rejected: Vec<Rejected>,
    pub(crate) ignored_keys: Vec<String>,
}

/// Encodes a file, or takes what the cache has of the same content under the same rules.
///
/// # Errors
/// A file that cannot be read; a row that cannot be used, unless such rows are skipped; a broken promise about the mask
/// always; and a file of which nothing is left.
pub(crate) fn encode(
    path: &Path,
    rules: Rules<'_>,
    chat: &ChatFormat,
    cache: &Cache,
    watch: &dyn Watch,
) -> Result<EncodedFile, DataError> {
    let sha256 = hash::of_file(path).map_err(DataError::io(path))?;
    let key = cache.key(&sha256, rules);
    let (meta, tokens, is_cached) = match cache.find(&key) {
        Some((meta, tokens)) => (meta, tokens, true),
        None => {
            let mut encoder = Encoder::new(path, rules, chat, cache.writer(&key, watch));
            let bytes = std::fs::metadata(path).map_err(DataError::io(path))?.len();
            watch.begin(path, bytes);
            let read = encoder.read(watch);
            watch.end();
            // It may be written to meanwhile: then what was read is not what the key stands for.
            let read = read.and_then(|()| match hash::of_file(path).map_err(DataError::io(path))? == sha256 {
                true => Ok(()),
                false => {
                    let what = "it changed while it was read".to_owned();
                    Err(DataError::Damaged { path: path.to_owned(), what })
                }
            });
            let (meta, writer) = match read {
                Ok(()) => encoder.finish()?,
                Err(error) => {
                    cache.discard(encoder.writer);
                    return Err(error);
                }
            };
            let tokens = cache.keep(&key, &meta, writer, watch)?;
            (meta, tokens, false)
        }
    };
    if let (OnBadRow::Error, Some(first)) = (rules.on_bad_row, meta.rejected.iter().min_by_key(|one| one.first_line)) {
        // Only the cache can have such rows here: it was filled when they were skipped.
        let reason = Rejection::Format(first.example.clone());
        return Err(DataError::Row { path: path.to_owned(), line: first.first_line, reason });
    }
    let Meta { shape, row_count, entries, rejected, ignored_keys } = meta;
    let path = path.to_owned();
    Ok(EncodedFile { path, sha256, shape, row_count, entries, rejected, ignored_keys, is_cached, tokens })
}

struct Encoder<'a> {
    path: &'a Path,
    rules: Rules<'a>,
    chat: &'a ChatFormat,
    writer: Writer,
    shape: Option<Shape>,
    row_count: u64,
    entries: Vec<Entry>,
    rejected: BTreeMap<&'static str, Rejected>,
    ignored: Ignored,
}

/// Why a row gave no tokens.
enum Failure {
    Rejected(Rejection),
    Promise(FormatError),
}

impl From<Rejection> for Failure {
    fn from(rejection: Rejection) -> Failure {
        Failure::Rejected(rejection)
    }
}

impl<'a> Encoder<'a> {
    fn new(path: &'a Path, rules: Rules<'a>, chat: &'a ChatFormat, writer: Writer) -> Encoder<'a> {
        let (entries, rejected, ignored) = (Vec::new(), BTreeMap::new(), Ignored::new());
        Encoder { path, rules, chat, writer, shape: None, row_count: 0, entries, rejected, ignored }
    }

    fn read(&mut self, watch: &dyn Watch) -> Result<(), DataError> {
        let mut rows = Rows::open(self.path)?;
        let mut position = 0;
        loop {
            let batch = rows.next_batch()?;
            if batch.is_empty() {
                return Ok(());
            }
            self.row_count += batch.len() as u64;
            let before = self.writer.count();
            self.batch(batch)?;
            watch.advance(rows.position() - position, self.writer.count() - before);
            position = rows.position();
        }
    }

    fn batch(&mut self, batch: Vec<RawRow>) -> Result<(), DataError> {
        let values: Vec<(u64, Result<Value, Rejection>)> =
            batch.into_par_iter().map(|row| (row.line, row.value())).collect();
        if self.shape.is_none() {
            let mut sound = values.iter().filter_map(|(_, value)| value.as_ref().ok());
            self.shape = sound.find_map(|value| Shape::detect(value, self.rules.format));
        }
        let (shape, roles, chat) = (self.shape, self.rules.roles, self.chat);
        let encoded: Vec<_> = values
            .into_par_iter()
            .map(|(line, value)| {
                let mut ignored = Ignored::new();
                let encoded = value.map_err(Failure::from);
                let encoded = encoded.and_then(|value| encode_row(value, shape, roles, chat, &mut ignored));
                (line, encoded, ignored)
            })
            .collect();
        for (line, encoded, ignored) in encoded {
            ignored.into_iter().for_each(|key| shape::ignore(&mut self.ignored, key));
            match encoded {
                Ok(row) => self.add(line, row)?,
                Err(Failure::Rejected(reason)) => self.reject(line, reason)?,
                Err(Failure::Promise(source)) => {
                    return Err(DataError::Promise { path: self.path.to_owned(), line, source });
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, line: u64, row: EncodedRow) -> Result<(), DataError> {
        let EncodedRow { id, turns, prompt, mut words, second } = row;
        let start = self.writer.count();
        self.writer.push(&words)?;
        let (token_count, target_count) = (words.len() as u32, tokens::count_targets(&words) as u32);
        // Where a pair is cut is part of what it is.
        words.extend((second > 0).then_some(second));
        let digest = tokens::digest(&words);
        self.entries.push(Entry { id, line, turns, start, token_count, target_count, digest, prompt, second });
        Ok(())
    }

    fn reject(&mut self, line: u64, reason: Rejection) -> Result<(), DataError> {
        if self.rules.on_bad_row == OnBadRow::Error {
            return Err(DataError::Row { path: self.path.to_owned(), line, reason });
        }
        let kind = reason.kind();
        let first =
            || Rejected { kind: kind.to_owned(), count: 0, first_line: line, example: harmless(&reason.to_string()) };
        self.rejected.entry(kind).or_insert_with(first).count += 1;
        Ok(())
    }

    fn finish(self) -> Result<(Meta, Writer), DataError> {
        let path = || self.path.to_owned();
        let rejected: Vec<Rejected> = self.rejected.into_values().collect();
        let (Some(shape), false) = (self.shape, self.entries.is_empty()) else {
            return Err(match rejected.into_iter().min_by_key(|rejected| rejected.first_line) {
                None => DataError::Empty { path: path() },
                Some(first) => DataError::AllRejected {
                    path: path(),
                    count: self.row_count,
                    line: first.first_line,
                    reason: first.example,
                },
            });
        };
        let ignored_keys = self.ignored.into_iter().collect();
        Ok((Meta { shape, row_count: self.row_count, entries: self.entries, rejected, ignored_keys }, self.writer))
    }
}

/// A row as it is kept.
struct EncodedRow {
    id: String,
    /// Messages but for the system's, of the first conversation.
    turns: u32,
    /// What the user says first, as [`hash::of_prompt`] makes it.
    prompt: [u64; 2],
    /// Tokens with their mask of one conversation, or of the two of a pair end to end.
    words: Vec<u32>,
    /// Where the second one begins, or 0.
    second: u32,
}

fn encode_row(
    value: Value,
    shape: Option<Shape>,
    roles: &[Role],
    chat: &ChatFormat,
    ignored: &mut Ignored,
) -> Result<EncodedRow, Failure> {
    let Some(shape) = shape else { return Err(shape::unknown(&value).into()) };
    let rows = shape.rows(value, ignored)?;
    let (mut words, mut second) = (Vec::new(), 0);
    for row in &rows {
        second = words.len() as u32;
        words.extend(encode_conversation(row, roles, chat)?);
    }
    // Messages that differ may become the same text. Of one conversation nothing stands before the second.
    let (chosen, rejected) = words.split_at(second as usize);
    if chosen == rejected {
        let what = "`chosen` and `rejected` are the same to the chat template".to_owned();
        return Err(Rejection::Shape { what }.into());
    }
    let first = &rows[0].conversation;
    let turns = first.messages.iter().filter(|message| message.role != Role::System).count() as u32;
    let asked = first.messages.iter().find(|message| message.role == Role::User);
    let prompt = hash::of_prompt(asked.map_or("", |message| message.content.as_str()));
    Ok(EncodedRow { id: first.id.clone(), turns, prompt, words, second })
}

/// Tokens and mask of a conversation.
fn encode_conversation(row: &Row, roles: &[Role], chat: &ChatFormat) -> Result<Vec<u32>, Failure> {
    let is_learned = row.is_learned(roles)?;
    let example = chat.example_of(&row.conversation, &is_learned).map_err(|error| match error {
        // These concern one conversation; the others say that the mask of any conversation would be wrong.
        FormatError::Template { .. } | FormatError::RewritesContent { .. } | FormatError::Encode { .. } => {
            Failure::Rejected(Rejection::Format(error.to_string()))
        }
        promise => Failure::Promise(promise),
    })?;
    Ok(tokens::pack(&example))
}
