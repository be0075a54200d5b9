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
struct Bucket {
    rows: usize,
    chunks: usize,
    /// New tokens of a sequence at most.
    tokens: usize,
    /// Whether rows have adapters.
    adapted: bool,
    /// Whether tokens are chosen.
    chosen: bool,
}

/// The rows of a small pass as the host has them.
pub(super) struct SmallPass<'a> {
    pub(super) plan: Plan,
    pub(super) ids: Vec<u32>,
    pub(super) slots: Vec<u32>,
    pub(super) adapted: bool,
    /// For each row, when tokens are to be chosen.
    pub(super) choices: Option<&'a [Choice]>,
}

/// Buffers of small passes and their recordings.
pub(super) struct Small {
    words: Tensor,
    buffers: Buffers,
    logits: Tensor,
    /// The chosen token of each row.
    pub(super) tokens: Tensor,
    recordings: HashMap<Bucket, Recorded>,
    /// Whether passes are recorded, or queued kernel by kernel.
    pub(super) is_recorded: bool,
}

/// A pass over buffers that stay where they are.
struct Recorded {
    recording: Option<Recording>,
    logits: Tensor,
}

impl Small {
    pub(super) fn new(model: &Model<'_>, like: &Tensor) -> Result<Self> {
        let chunks = model.partial.room().next_power_of_two();
        let words = ROWS_MAX * (2 + CHOICE_WORDS) + Plan::word_count(ROWS_MAX, chunks);
        Ok(Self {
            words: buffer(like, words, DType::U32)?,
            buffers: Buffers::new(ROWS_MAX, model.config, model.slots.ranks_max(), like)?,
            logits: buffer(like, ROWS_MAX * (model.config.vocab_size + ADDED_MAX), DType::F32)?,
            tokens: buffer(like, ROWS_MAX, DType::U32)?,
            recordings: HashMap::new(),
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
    pub(super) fn run(&mut self, mut pass: SmallPass<'_>, model: &Model<'_>, like: &Tensor) -> Result<Tensor> {
        let bucket = Bucket { adapted: pass.adapted, chosen: pass.choices.is_some(), ..bucket_of(&pass.plan) };
        pass.plan.pad(bucket.rows, bucket.chunks);
        pass.ids.resize(bucket.rows, 0);
        pass.slots.resize(bucket.rows, NO_SLOT);
        let choices = pass.choices.unwrap_or(&[]).iter();
        let choices = choices.chain(std::iter::repeat(&Choice::GREEDY)).take(bucket.rows).flat_map(Choice::words);
        let words: Vec<u32> =
            pass.ids.iter().chain(&pass.slots).copied().chain(choices).chain(pass.plan.words()).collect();
        upload(&self.words, &words)?;
        if !self.is_recorded {
            return self.queue(bucket, model);
        }
        if !self.recordings.contains_key(&bucket) {
            // The first pass of a kind is run as it is: it loads the kernels.
            let logits = self.queue(bucket, model)?;
            self.recordings.insert(bucket, Recorded { recording: None, logits });
        } else if let Some(recorded) = self.recordings.get(&bucket)
            && let Some(recording) = &recorded.recording
        {
            recording.repeat()?;
        } else {
            let mut logits = None;
            let recording = Recording::new(like, || {
                logits = Some(self.queue(bucket, model)?);
                Ok(())
            })?;
            recording.repeat()?;
            if let (Some(recorded), Some(logits)) = (self.recordings.get_mut(&bucket), logits) {
                *recorded = Recorded { recording: Some(recording), logits };
            }
        }
        Ok(self.recordings[&bucket].logits.clone())
    }

    /// Queues a pass over the words that are uploaded, kernel by kernel.
    fn queue(&self, bucket: Bucket, model: &Model<'_>) -> Result<Tensor> {
        let Bucket { rows, chunks, tokens, adapted, chosen } = bucket;
        let (ids, slots) = (self.words.narrow(0, 0, rows)?, self.words.narrow(0, rows, rows)?);
        let (choices, first) = (self.words.narrow(0, 2 * rows, rows * CHOICE_WORDS)?, rows * (2 + CHOICE_WORDS));
        let plan = self.words.narrow(0, first, Plan::word_count(rows, chunks))?;
        let tables = Tables::within(&plan, rows, chunks, tokens)?;
        let buffers = self.buffers.narrow(rows)?;
        model.run(&Rows { ids: &ids, slots: &slots, adapted, tables: &tables, buffers: &buffers })?;
        let logits = model.head(&buffers.normed, &slots, adapted, &self.logits)?;
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
        self.recordings.values().filter(|recorded| recorded.recording.is_some()).count()
    }
}

fn tokens_of(plan: &Plan) -> usize {
    if plan.tokens_max > 1 { DECODE_TOKENS_MAX } else { 1 }
}

fn bucket_of(plan: &Plan) -> Bucket {
    let rows = plan.row_count().next_power_of_two();
    Bucket {
        rows,
        chunks: plan.chunk_count().next_power_of_two(),
        tokens: tokens_of(plan),
        adapted: false,
        chosen: false,
    }
}
