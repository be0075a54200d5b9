//! All sources of a run: encoded, filtered, held out, cut or dropped, and counted. Nothing is left out silently.
//!
//! The documents of a source stand in the order of their files' hashes and of their rows, and whatever is drawn is drawn
//! by the seed and the content. So names, the order of files on disk and the number of threads change nothing.

use std::path::Path;

use codeact_chat::{ChatFormat, Example};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::cache::Cache;
use crate::encode::{EncodedFile, Entry, Rules, Watch, encode};
use crate::error::DataError;
use crate::hash;
use crate::plan::{Document, Share, quotas};
use crate::report::FileReport;
use crate::source::{HeldOut, Source};
use crate::tokens;

/// What becomes of a conversation that is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TooLong {
    /// Left out.
    Drop,
    /// Cut at the end; left out when no learned token remains.
    Truncate,
    /// The data is refused.
    Error,
}

/// What becomes of long conversations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LengthPolicy {
    /// Most tokens of a conversation.
    pub tokens_max: usize,
    /// What to do beyond.
    pub too_long: TooLong,
}

/// What decides the documents besides their sources.
#[derive(Debug, Clone, Copy)]
pub struct LoadOptions<'a> {
    /// For long conversations.
    pub policy: LengthPolicy,
    /// Draws what is held out, and what is taken of more than `max_samples`.
    pub seed: u64,
    /// Where encoded files are kept for the next start; `None` keeps them in memory.
    pub cache: Option<&'a Path>,
}

/// Where a document lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    file: u32,
    entry: u32,
}

/// Documents to learn from, or to measure on.
#[derive(Debug, Default)]
pub struct Part {
    /// Their sizes and groups.
    pub documents: Vec<Document>,
    /// How often the documents of a group come up; a group is a source.
    pub shares: Vec<Share>,
    places: Vec<Place>,
    files: std::sync::Arc<Vec<EncodedFile>>,
}

impl Part {
    /// Tokens and mask of a document.
    ///
    /// # Errors
    /// When the cache cannot be read any more.
    ///
    /// # Panics
    /// When there is no such document.
    pub fn example(&self, index: usize) -> Result<Example, DataError> {
        let (file, entry) = self.entry(index);
        let range = entry.start..entry.start + self.documents[index].token_count as u64;
        let words = file.tokens.read(range);
        let words = words.map_err(DataError::cache(file.tokens.path().unwrap_or(&file.path)))?;
        Ok(tokens::unpack(&words))
    }

    /// Tokens and mask of the conversations of a document: one, or of a pair the chosen one and the rejected one.
    ///
    /// # Errors
    /// As [`Part::example`], which has the two of a pair end to end.
    ///
    /// # Panics
    /// When there is no such document.
    pub fn conversations(&self, index: usize) -> Result<Vec<Example>, DataError> {
        let mut first = self.example(index)?;
        if !self.is_pair(index) {
            return Ok(vec![first]);
        }
        let second = self.entry(index).1.second as usize;
        let (token_ids, is_target) = (first.token_ids.split_off(second), first.is_target.split_off(second));
        Ok(vec![first, Example { token_ids, is_target }])
    }

    /// Whether a document is a pair of conversations.
    ///
    /// # Panics
    /// When there is no such document.
    pub fn is_pair(&self, index: usize) -> bool {
        self.entry(index).1.second > 0
    }

    /// Tokens of both conversations of a document; 0 and all where there is one.
    ///
    /// # Panics
    /// When there is no such document.
    pub fn lengths(&self, index: usize) -> [usize; 2] {
        let second = self.entry(index).1.second as usize;
        [second, self.documents[index].token_count - second]
    }

    /// Tokens of its longest conversation; 0 where there is none.
    pub fn longest(&self) -> usize {
        (0..self.documents.len()).flat_map(|index| self.lengths(index)).max().unwrap_or(0)
    }

    /// The file and the row of a document.
    ///
    /// # Panics
    /// When there is no such document.
    pub fn entry(&self, index: usize) -> (&EncodedFile, &Entry) {
        let Place { file, entry } = self.places[index];
        let file = &self.files[file as usize];
        (file, &file.entries[entry as usize])
    }

    /// Stands for tokens, mask and shares of all documents, in order.
    fn content_hash(&self) -> String {
        let mut hasher = Sha256::new();
        for share in &self.shares {
            hasher.update(format!("{share:?}\n"));
        }
        for (index, document) in self.documents.iter().enumerate() {
            let (_, entry) = self.entry(index);
            for number in [document.token_count as u64, document.group as u64, entry.digest[0], entry.digest[1]] {
                hasher.update(number.to_le_bytes());
            }
        }
        hash::hex(&hasher.finalize())
    }
}

/// All data of a run.
#[derive(Debug)]
pub struct DataSet {
    /// To learn from; not empty.
    pub train: Part,
    /// Held out; may be empty.
    pub validation: Part,
    /// One for each file, in the order of sources and names.
    pub reports: Vec<FileReport>,
    /// Changes with the tokens, masks and shares of the training part.
    pub content_hash: String,
    /// The same of the held-out part.
    pub held_out_hash: String,
}

/// Encodes all sources and decides which conversations are learned from.
///
/// # Errors
/// What a file says; a too long conversation where the policy is to refuse it; a part of which nothing is left.
pub fn load(
    sources: &[Source],
    chat: &ChatFormat,
    options: LoadOptions<'_>,
    watch: &dyn Watch,
) -> Result<DataSet, DataError> {
    let cache = Cache::new(options.cache, chat);
    let mut loader =
        Loader { options, files: Vec::new(), reports: Vec::new(), train: Draft::default(), held: Draft::default() };
    for (index, source) in sources.iter().enumerate() {
        let rules = Rules { format: source.format, on_bad_row: source.on_bad_row, roles: &source.roles_to_train };
        let first = loader.files.len();
        for path in &source.files {
            let file = encode(path, rules, chat, &cache, watch)?;
            loader.reports.push(FileReport::new(&file, index, source.held_out == HeldOut::All));
            loader.files.push(file);
        }
        loader.choose(source, first)?;
    }
    loader.finish(sources)
}

#[derive(Default)]
struct Draft {
    documents: Vec<Document>,
    places: Vec<Place>,
    shares: Vec<Share>,
}

impl Draft {
    fn into_part(self, files: &std::sync::Arc<Vec<EncodedFile>>) -> Part {
        let Draft { documents, places, shares } = self;
        Part { documents, shares, places, files: std::sync::Arc::clone(files) }
    }
}

struct Loader<'a> {
    options: LoadOptions<'a>,
    files: Vec<EncodedFile>,
    reports: Vec<FileReport>,
    train: Draft,
    held: Draft,
}

impl Loader<'_> {
    /// Decides about the conversations of a source, whose files begin at `first`.
    fn choose(&mut self, source: &Source, first: usize) -> Result<(), DataError> {
        let mut order: Vec<usize> = (first..self.files.len()).collect();
        order.sort_by(|left, right| self.files[*left].sha256.cmp(&self.files[*right].sha256));
        let mut kept = Vec::new();
        for file in order {
            self.filter(source, file, &mut kept)?;
        }
        let held_count = match source.held_out {
            HeldOut::None => 0,
            HeldOut::Some(count) => count,
            HeldOut::All => source.max_samples.unwrap_or(usize::MAX).min(kept.len()),
        };
        if held_count > 0 && held_count >= kept.len() && source.held_out != HeldOut::All {
            let what = format!("{held_count} conversations are to be held out, but it has only {}", kept.len());
            return Err(DataError::Source { name: source.name.clone(), what });
        }
        let mut rank = ranks(&kept, &self.files, self.options.seed);
        let held = mark(&rank, held_count, kept.len());
        rank.retain(|(_, index)| !held[*index]);
        let drawn_count = if source.held_out == HeldOut::All { 0 } else { source.max_samples.unwrap_or(usize::MAX) };
        let drawn = mark(&rank, drawn_count, kept.len());
        let group = self.train.shares.len();
        self.train.shares.push(source.share);
        self.held.shares.push(Share::Repeat(1));
        for (index, (place, sizes)) in kept.into_iter().enumerate() {
            let report = &mut self.reports[place.file as usize];
            let draft = match (held[index], drawn[index]) {
                (true, _) => {
                    report.held_out += 1;
                    &mut self.held
                }
                (_, true) => {
                    report.train_count += 1;
                    &mut self.train
                }
                _ => {
                    report.not_drawn += 1;
                    continue;
                }
            };
            report.token_count += sizes.token_count;
            report.target_count += sizes.target_count;
            draft.documents.push(Document { group, ..sizes });
            draft.places.push(place);
        }
        Ok(())
    }

    /// The conversations of a file that pass filter and length policy.
    fn filter(&mut self, source: &Source, index: usize, kept: &mut Vec<(Place, Document)>) -> Result<(), DataError> {
        let (file, report, policy) = (&self.files[index], &mut self.reports[index], self.options.policy);
        let max = policy.tokens_max;
        for (number, entry) in file.entries.iter().enumerate() {
            let (mut token_count, mut target_count) = (entry.token_count as usize, entry.target_count as usize);
            if !source.filter.takes(&entry.id, entry.turns as usize, token_count) {
                report.filtered += 1;
                continue;
            }
            if token_count > max {
                let path = file.path.clone();
                match policy.too_long {
                    TooLong::Error => return Err(DataError::TooLong { path, line: entry.line, token_count, max }),
                    TooLong::Drop => target_count = 0,
                    // The end of a pair is that of its second conversation alone.
                    TooLong::Truncate if entry.second > 0 => target_count = 0,
                    TooLong::Truncate => {
                        let words = file.tokens.read(entry.start..entry.start + max as u64);
                        target_count = tokens::count_targets(
                            &words.map_err(DataError::cache(file.tokens.path().unwrap_or(&path)))?,
                        );
                        token_count = max;
                    }
                }
                if target_count == 0 {
                    report.dropped += 1;
                    continue;
                }
                report.truncated += 1;
            }
            let place = Place { file: index as u32, entry: number as u32 };
            kept.push((place, Document { token_count, target_count, group: 0 }));
        }
        Ok(())
    }

    fn finish(self, sources: &[Source]) -> Result<DataSet, DataError> {
        let is_held = |report: &&FileReport| sources[report.source].held_out == HeldOut::All;
        let held_reports: Vec<&FileReport> = self.reports.iter().filter(is_held).collect();
        let train_reports: Vec<&FileReport> = self.reports.iter().filter(|report| !is_held(report)).collect();
        let max = self.options.policy.tokens_max;
        for (part, reports, draft) in
            [("train", &train_reports, &self.train), ("validation", &held_reports, &self.held)]
        {
            if draft.documents.is_empty() && !reports.is_empty() {
                let sum = |of: fn(&FileReport) -> usize| reports.iter().map(|report| of(report)).sum();
                let row_count = sum(|report| report.row_count);
                let (filtered, too_long) = (sum(|report| report.filtered), sum(|report| report.dropped));
                return Err(DataError::NothingLeft { part, row_count, filtered, too_long, max });
            }
        }
        self.check_weights(sources)?;
        let files = std::sync::Arc::new(self.files);
        let (train, validation) = (self.train.into_part(&files), self.held.into_part(&files));
        let (content_hash, held_out_hash) = (train.content_hash(), validation.content_hash());
        Ok(DataSet { train, validation, reports: self.reports, content_hash, held_out_hash })
    }

    /// A source with a weight is learned from.
    fn check_weights(&self, sources: &[Source]) -> Result<(), DataError> {
        let mut counts = vec![0; self.train.shares.len()];
        self.train.documents.iter().for_each(|document| counts[document.group] += 1);
        let weighted = self.train.shares.iter().enumerate().filter_map(|(group, share)| match share {
            Share::Weight(weight) if sources[group].held_out != HeldOut::All => Some((group, *weight)),
            _ => None,
        });
        let (groups, weights): (Vec<usize>, Vec<f64>) = weighted.unzip();
        let total: usize = groups.iter().map(|group| counts[*group]).sum();
        for (group, quota) in groups.into_iter().zip(quotas(&weights, total)) {
            let what = match (counts[group], quota) {
                (0, _) => "it has a weight, but no conversation of it is left to learn from".to_owned(),
                (_, 0) => format!(
                    "its weight gives it none of the {total} conversations of an epoch\nhint: a larger weight, or none"
                ),
                _ => continue,
            };
            return Err(DataError::Source { name: sources[group].name.clone(), what });
        }
        Ok(())
    }
}

/// The conversations in an order that the seed and their content draw, with their indices. The same conversation comes
/// at the same place whatever its file is called; equal ones stand in the order of the source.
fn ranks(kept: &[(Place, Document)], files: &[EncodedFile], seed: u64) -> Vec<(u64, usize)> {
    let rank = |(index, (place, _)): (usize, &(Place, Document))| {
        let digest = files[place.file as usize].entries[place.entry as usize].digest;
        let mut random = ChaCha8Rng::seed_from_u64(seed ^ digest[0]);
        random.set_stream(digest[1]);
        (random.next_u64(), index)
    };
    let mut ranks: Vec<(u64, usize)> = kept.iter().enumerate().map(rank).collect();
    ranks.sort_unstable();
    ranks
}

/// Flags for `length` conversations, true for the first `count` of an order.
fn mark(ranks: &[(u64, usize)], count: usize, length: usize) -> Vec<bool> {
    let mut marks = vec![false; length];
    ranks.iter().take(count).for_each(|(_, index)| marks[*index] = true);
    marks
}
