//! What a caller may ask of a served model.

use std::num::NonZeroUsize;

use codeact_cpu::paged::{KvFormat, KvPool, PAGE_TOKENS};
use codeact_cpu::{Format, Isa};

use crate::ModelError;
use crate::config::ModelConfig;

/// The shortest sequence that a pool must have room for.
const TOKENS_MIN: usize = 256;

/// How a model is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServingOptions {
    /// How weights are kept.
    pub weights: ServedWeights,
    /// Where it computes. [`super::ServedModel`] and [`super::card::CardModel`] are the two; who may load either asks here.
    pub place: ServingPlace,
    /// Threads that share a pass; `None` takes all the machine gives this process. Nothing on a card.
    pub threads: Option<NonZeroUsize>,
    /// Instructions of the kernels; `None` takes the best this processor has. Nothing on a card.
    pub isa: Option<Isa>,
    /// Bytes for keys and values of all sequences. `None`: 1 GiB on a processor, where memory is taken as it is used; on a
    /// card what its memory has left beside the weights and the passes.
    pub kv_bytes: Option<usize>,
}

impl Default for ServingOptions {
    fn default() -> Self {
        let (weights, place) = (ServedWeights::default(), ServingPlace::default());
        Self { weights, place, threads: None, isa: None, kv_bytes: None }
    }
}

/// Where a model computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ServingPlace {
    /// The threads of this process.
    #[default]
    Processor,
    /// The first GPU that the driver shows.
    Card,
}

/// Bytes for keys and values where nobody said how many.
pub(super) const KV_BYTES: usize = 1 << 30;

/// How weights are kept in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ServedWeights {
    /// As the files have them.
    #[default]
    Stored,
    /// 32 bits.
    F32,
    /// 16 bits, the upper half of an f32.
    Bf16,
    /// 8 bits and a scale for 32 weights (llama.cpp's Q8_0).
    Q8_0,
    /// 4 bits, with scales and minima in 6 bits (llama.cpp's Q4_K), and Q4_1 where rows do not divide by 256; embedding
    /// and head in Q8_0.
    Q4K,
}

impl ServedWeights {
    /// What a matrix with rows of `columns` becomes; `None`: it stays as it is.
    pub(super) fn format(self, columns: usize, is_table: bool) -> Option<Format> {
        match self {
            Self::Stored => None,
            Self::F32 => Some(Format::F32),
            Self::Bf16 => Some(Format::Bf16),
            Self::Q4K if !is_table && columns.is_multiple_of(Format::Q4K.block_len()) => Some(Format::Q4K),
            Self::Q4K if !is_table && columns.is_multiple_of(Format::Q4_1.block_len()) => Some(Format::Q4_1),
            // Rows that are not whole blocks stay 16 bits.
            Self::Q8_0 | Self::Q4K if columns.is_multiple_of(Format::Q8_0.block_len()) => Some(Format::Q8_0),
            Self::Q8_0 | Self::Q4K => Some(Format::Bf16),
        }
    }
}

impl ServingOptions {
    pub(super) fn page_count(&self, config: &ModelConfig, format: KvFormat) -> Result<usize, ModelError> {
        let page = KvPool::page_bytes(config.layer_count, config.kv_head_count, config.head_width, format);
        pages_of(page, self.kv_bytes.unwrap_or(KV_BYTES))
    }
}

/// Pages of so many bytes that there is memory for.
pub(super) fn pages_of(page: usize, bytes: usize) -> Result<usize, ModelError> {
    let pages = bytes / page;
    match pages * PAGE_TOKENS >= TOKENS_MIN {
        // Page numbers are u32.
        true => Ok(pages.min(u32::MAX as usize)),
        false => Err(ModelError::Pages { bytes, needed: page * TOKENS_MIN.div_ceil(PAGE_TOKENS), tokens: TOKENS_MIN }),
    }
}
