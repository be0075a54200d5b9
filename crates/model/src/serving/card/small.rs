//! Small passes, recorded: a few rows of a few tokens each, as decoding has them, in one launch.
//!
//! There is a recording for each number of rows and of chunks that is a power of two; a pass is filled up to the next.
//! What differs between passes is uploaded at once, into one buffer that the recorded kernels read.

use std::collections::HashMap;

use candle_core::{DType, Result, Tensor};
use codeact_ops::paged::{DECODE_TOKENS_MAX, Plan, Tables};
use codeact_ops::recording::{Recording, buffer, upload};
use codeact_ops::row_lora::NO_SLOT;
use codeact_ops::sampling::{self, CHOICE_WORDS, Choice};

use super::adapters::ADDED_MAX;
use super::pass::{Buffers, Model, Rows};

/// Rows of a small pass at most.
pub(super) const ROWS_MAX: usize = 64;

/// What makes one recording differ from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Bucket {
    rows: usize,
    chunks: usize,
    /// New tokens of a sequence at most.
    tokens: usize,
    /// Inner rows of adapters on one input at most, a power of two; 0 when no row has an adapter.
    ranks: usize,
    /// Whether tokens are chosen.
    chosen: bool,
}

/// The rows of a small pass as the host has them.
pub(super) struct SmallPass {
    pub(super) plan: Plan,
    pub(super) ids: Vec<u32>,
    pub(super) slots: Vec<u32>,
    pub(super) ranks: usize,
    /// For each row, when tokens are to be chosen.
    pub(super) choices: Option<Vec<Choice>>,
}

/// Buffers of small passes and their recordings.
pub(super) struct Small {
    words: Tensor,
    buffers: Buffers,
    /// Room for the logits of 64 rows; what a pass of any kind leaves there stays until the next.
    pub(super) logits: Tensor,
    /// The chosen token of each row.
    pub(super) tokens: Tensor,
    pub(super) known: HashMap<Bucket, Known>,
    pub(super) known_max: usize,
    pass: u64,
    /// Whether passes are recorded, or queued kernel by kernel.
    pub(super) is_recorded: bool,
}

/// A kind of pass that was run once.
pub(super) struct Known {
    pub(super) recorded: Recorded,
    /// The pass that used it last.
    used: u64,
}

pub(super) enum Recorded {
    /// The next time.
    NotYet,
    Done(Recording),
    /// It could not be. Such passes are queued kernel by kernel.
    Refused,
}

/// Kinds of passes that are remembered. There are some hundreds, of which a server uses a few at a time; each recording
/// takes memory for every kernel of the model.
const KNOWN_MAX: usize = 64;

impl Small {
    pub(super) fn new(model: &Model<'_>, like: &Tensor) -> Result<Self> {
        let chunks = model.partial.room().next_power_of_two();
        let words = ROWS_MAX * (2 + CHOICE_WORDS) + Plan::word_count(ROWS_MAX, chunks);
        Ok(Self {
            words: buffer(like, words, DType::U32)?,
            buffers: Buffers::new(ROWS_MAX, model.config, model.slots.ranks_max(), like)?,
            logits: buffer(like, ROWS_MAX * (model.config.vocab_size + ADDED_MAX), DType::F32)?,
            tokens: buffer(like, ROWS_MAX, DType::U32)?,
            known: HashMap::new(),
            known_max: KNOWN_MAX,
            pass: 0,
            is_recorded: true,
        })
    }

    /// Whether a pass is small, and there is room for its chunks.
    pub(super) fn takes(plan: &Plan, model: &Model<'_>) -> bool {
        plan.tiles.is_empty()
            && plan.row_count() <= ROWS_MAX
            && bucket_of(plan).chunks * tokens_of(plan) <= model.partial.room()
    }

    /// Runs a pass. Returns its logits, a row for each row of the pass and more.
    pub(super) fn run(&mut self, mut pass: SmallPass, model: &Model<'_>, like: &Tensor) -> Result<Tensor> {
        let ranks = if pass.ranks == 0 { 0 } else { pass.ranks.next_power_of_two() };
        let bucket = Bucket { ranks, chosen: pass.choices.is_some(), ..bucket_of(&pass.plan) };
        pass.plan.pad(bucket.rows, bucket.chunks);
        pass.ids.resize(bucket.rows, 0);
        pass.slots.resize(bucket.rows, NO_SLOT);
        let choices = pass.choices.unwrap_or_default();
        let choices =
            choices.iter().chain(std::iter::repeat(&Choice::GREEDY)).take(bucket.rows).flat_map(Choice::words);
        let words: Vec<u32> =
            pass.ids.iter().chain(&pass.slots).copied().chain(choices).chain(pass.plan.words()).collect();
        upload(&self.words, &words)?;
        if !self.is_recorded {
            return self.queue(bucket, model);
        }
        self.pass += 1;
        let used = self.pass;
        match self.known.get_mut(&bucket) {
            Some(known) => known.used = used,
            None => {
                self.forget_oldest();
                self.known.insert(bucket, Known { recorded: Recorded::NotYet, used });
                // The first pass of a kind is run as it is: it loads the kernels.
                return self.queue(bucket, model);
            }
        }
        if let Some(Known { recorded: Recorded::NotYet, .. }) = self.known.get(&bucket) {
            // A card may refuse to record what it does; then it does it. Should it have failed, the next call says so.
            let recording = Recording::new(like, || self.queue(bucket, model).map(drop));
            let recorded = recording.map_or(Recorded::Refused, Recorded::Done);
            self.known.insert(bucket, Known { recorded, used });
        }
        match self.known.get(&bucket) {
            Some(Known { recorded: Recorded::Done(recording), .. }) => {
                recording.repeat()?;
                self.logits(bucket, model)
            }
            _ => self.queue(bucket, model),
        }
    }

    /// Makes room for one more kind of passes.
    fn forget_oldest(&mut self) {
        if self.known.len() >= self.known_max
            && let Some(oldest) = self.known.iter().min_by_key(|(_, known)| known.used).map(|(bucket, _)| *bucket)
        {
            self.known.remove(&oldest);
        }
    }

    /// Where the logits of a pass of this kind are.
    fn logits(&self, bucket: Bucket, model: &Model<'_>) -> Result<Tensor> {
        model.logits(bucket.rows, bucket.ranks > 0, &self.logits)
    }

    /// Queues a pass over the words that are uploaded, kernel by kernel.
    fn queue(&self, bucket: Bucket, model: &Model<'_>) -> Result<Tensor> {
        let Bucket { rows, chunks, tokens, ranks, chosen } = bucket;
        let (ids, slots) = (self.words.narrow(0, 0, rows)?, self.words.narrow(0, rows, rows)?);
        let (choices, first) = (self.words.narrow(0, 2 * rows, rows * CHOICE_WORDS)?, rows * (2 + CHOICE_WORDS));
        let plan = self.words.narrow(0, first, Plan::word_count(rows, chunks))?;
        let tables = Tables::within(&plan, rows, chunks, tokens)?;
        let buffers = self.buffers.narrow(rows)?;
        model.run(&Rows { ids: &ids, slots: &slots, ranks, tables: &tables, buffers: &buffers })?;
        let logits = model.head(&buffers.normed, &slots, ranks > 0, &self.logits)?;
        if chosen {
            sampling::choose(&logits, &choices, &self.tokens.narrow(0, 0, rows)?)?;
        }
        Ok(logits)
    }

    /// The final norm of the last pass's rows.
    pub(super) fn hidden(&self) -> &Tensor {
        &self.buffers.normed
    }

    /// Recordings there are.
    pub(super) fn recording_count(&self) -> usize {
        self.known.values().filter(|known| matches!(known.recorded, Recorded::Done(_))).count()
    }
}

fn tokens_of(plan: &Plan) -> usize {
    if plan.tokens_max > 1 { DECODE_TOKENS_MAX } else { 1 }
}

fn bucket_of(plan: &Plan) -> Bucket {
    let rows = plan.row_count().next_power_of_two();
    Bucket { rows, chunks: plan.chunk_count().next_power_of_two(), tokens: tokens_of(plan), ranks: 0, chosen: false }
}
