//! The model that serves, on a card: the same passes as [`crate::serving::ServedModel`], by kernels.
//!
//! Weights lie in the bits they have in their files, or are asked for; activations are in bf16, or f32 beside weights in
//! f32. Steps of few tokens go through small passes, which are recorded once and repeated; the others through large ones.
//! Tokens can be chosen on the card.
//!
//! Beside weights in bf16, 8 or 4 bits a row of a small pass does not depend on its company, bit for bit: decoding gives
//! the same whatever else runs. Large passes go through cuBLAS, whose sums have an order of their own for each number of
//! rows, and so do small ones beside weights in f32. So a prompt that was cut in another way, that continues pages of
//! another request or is computed again after a preemption has other low bits, and the same tokens but for near ties.

mod adapters; // adapters of requests, in slots
mod blocks; // formats of files
mod forward; // steps into passes, and what is wanted out of them
mod pass; // one pass
mod small; // passes that are recorded
mod weights; // weights on the card

#[cfg(test)]
mod tests;

use candle_core::{DType, Device, Tensor};
use codeact_cpu::Format;
use codeact_ops::device;
use codeact_ops::paged::{DECODE_TOKENS_MAX, PAGE_TOKENS, Pages, Partial};
use codeact_ops::recording::buffer;

use super::options::{KV_BYTES, pages_of};
use super::tensors::Tensors;
use super::{Compute, Facts, ServedAdapter, ServedWeights, ServingOptions};
use crate::ModelError;
use crate::config::ModelConfig;
use crate::decoder::Decoder;
use crate::source::ModelFiles;

use adapters::{ADDED_MAX, Adapters};
use pass::{Buffers, Model};
use small::{ROWS_MAX, Small};
use weights::{Loading, Weights};

/// Rows of a large pass for which memory is left where all the rest goes to pages.
const PASS_ROWS: usize = 4096;

/// What recordings and cuBLAS take beside a model in training, which has a workspace already.
const RECORDING_BYTES: usize = 256 << 20;

/// Memory left for adapters, recordings, cuBLAS and the driver.
const SPARE_BYTES: usize = 1 << 30;

/// A model on a card that continues sequences whose keys and values lie in its pages. Who owns which page is the caller's
/// affair. All calls come from one thread.
pub struct CardModel {
    config: ModelConfig,
    weights: Weights,
    pages: Vec<Pages>,
    partial: Partial,
    inverse_frequencies: Tensor,
    adapters: Adapters,
    expanded: Option<Tensor>,
    small: Option<Small>,
    /// Says where tensors are made, and in what dtype.
    like: Tensor,
    page_count: usize,
    /// Rows on their way to the caller.
    host: Vec<f32>,
    facts: Facts,
}

impl CardModel {
    /// Loads a model. Of the options, threads mean nothing here.
    ///
    /// # Errors
    /// When a file cannot be read or does not fit its config, or the card cannot hold it.
    pub fn load(files: &ModelFiles, options: &ServingOptions, device: &Device) -> Result<Self, ModelError> {
        let config = ModelConfig::load(files.folder())?;
        let tensors = Tensors::open(files)?;
        let dtype = dtype(&tensors, &config, options.weights)?;
        Self::from_tensors(config, Some(&tensors), options, dtype, device)
    }

    /// A model of this shape with random weights, made on the card: for measurements at sizes whose weights are not at
    /// hand. [`ServedWeights::Stored`] means bf16.
    ///
    /// # Errors
    /// When the card cannot hold it.
    pub fn random(config: ModelConfig, options: &ServingOptions, device: &Device) -> Result<Self, ModelError> {
        let dtype = if options.weights == ServedWeights::F32 { DType::F32 } else { DType::BF16 };
        Self::from_tensors(config, None, options, dtype, device)
    }

    fn from_tensors(
        config: ModelConfig,
        tensors: Option<&Tensors>,
        options: &ServingOptions,
        dtype: DType,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let weights = Loading { tensors, weights: options.weights, dtype, device }.all(&config)?;
        Self::from_weights(config, weights, options, dtype, device)
    }

    /// A decoder on a card, served as its weights lie: the same memory, which it keeps alive.
    ///
    /// * `options`: how it computes; how weights are kept is the decoder's affair.
    ///
    /// # Errors
    /// When the card cannot hold the pages, or they hold less than one sequence of 256 tokens.
    pub fn of_decoder(decoder: &Decoder, options: &ServingOptions) -> Result<Self, ModelError> {
        let (embedding, ..) = decoder.parts();
        let (config, weights) = (decoder.config().clone(), Weights::of_decoder(decoder));
        Self::from_weights(config, weights, options, embedding.dtype(), embedding.device())
    }

    fn from_weights(
        config: ModelConfig,
        weights: Weights,
        options: &ServingOptions,
        dtype: DType,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let like = Tensor::zeros(1, dtype, device)?;
        let attention = config.attention(dtype);
        let page_bytes = config.layer_count * Pages::page_bytes(dtype, &attention);
        let expanded = expanded(&weights, &like)?;
        let kv_bytes = options.kv_bytes.map_or_else(|| kv_room(&config, &like), Ok)?;
        let page_count = pages_of(page_bytes, kv_bytes)?;
        let pages =
            (0..config.layer_count).map(|_| Pages::new(page_count, &attention, &like)).collect::<Result<_, _>>()?;
        let room = partial_room(&config, page_count);
        let frequencies = &config.rotary.inverse_frequencies;
        let facts = Facts {
            weight_bytes: weights.byte_count(),
            token_bytes: weights.token_bytes(),
            weight_count: weights.weight_count(),
            formats: weights.formats.clone(),
            page_bytes: page_count * page_bytes,
            kv_bytes_per_token: page_bytes / PAGE_TOKENS,
            on: Compute::Card(if device.is_cpu() { "emulated card".to_owned() } else { device::name(device)? }),
        };
        let mut model = Self {
            partial: Partial::new(room, &attention, &like)?,
            inverse_frequencies: Tensor::from_slice(frequencies, frequencies.len(), device)?,
            adapters: Adapters::new(&config, &like)?,
            small: None,
            host: Vec::new(),
            expanded,
            weights,
            pages,
            like,
            page_count,
            facts,
            config,
        };
        model.small = Some(Small::new(&model.model(), &model.like)?);
        Ok(model)
    }

    /// Shape and constants.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Pages there are.
    pub fn page_count(&self) -> usize {
        self.page_count
    }

    /// Tokens that a page holds.
    pub fn page_tokens(&self) -> usize {
        PAGE_TOKENS
    }

    /// Tokens that a sequence with this adapter may hold.
    pub fn vocab_size(&self, adapter: Option<&ServedAdapter>) -> usize {
        self.config.vocab_size + adapter.map_or(0, ServedAdapter::new_token_count)
    }

    /// What to tell a person.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Bytes of weights that one decoded token reads: all but the embedding.
    pub fn token_bytes(&self) -> usize {
        self.facts.token_bytes
    }

    /// Bytes of the keys and values of one token in all layers.
    pub fn kv_bytes_per_token(&self) -> usize {
        self.facts.kv_bytes_per_token
    }

    /// Whether an adapter has room on a card.
    ///
    /// # Errors
    /// When its rank is too large, or it adds too many tokens.
    pub fn check_adapter(adapter: &ServedAdapter) -> Result<(), ModelError> {
        adapters::check(adapter)
    }

    /// Most new tokens of a step that goes through small passes.
    pub fn small_tokens_max() -> usize {
        DECODE_TOKENS_MAX
    }

    /// Whether small passes are recorded and repeated, which they are unless this was set to false; for comparisons.
    pub fn set_recorded(&mut self, is_recorded: bool) {
        if let Some(small) = &mut self.small {
            small.is_recorded = is_recorded;
        }
    }

    /// Recordings made so far.
    pub fn recording_count(&self) -> usize {
        self.small.as_ref().map_or(0, Small::recording_count)
    }

    fn model(&self) -> Model<'_> {
        Model {
            config: &self.config,
            weights: &self.weights,
            pages: &self.pages,
            partial: &self.partial,
            inverse_frequencies: &self.inverse_frequencies,
            slots: &self.adapters.slots,
            expanded: self.expanded.as_ref(),
        }
    }
}

/// Room for expanded weights, if any are packed: products of many rows need it.
fn expanded(weights: &Weights, like: &Tensor) -> Result<Option<Tensor>, ModelError> {
    let projections = weights.layers.iter().flat_map(|layer| &layer.projections).chain([&weights.head]);
    match projections.map(|projection| projection.expanded_count()).max() {
        Some(count @ 1..) => Ok(Some(buffer(like, count, DType::BF16)?)),
        _ => Ok(None),
    }
}

/// Bytes that are free on the card, but for what passes take.
fn kv_room(config: &ModelConfig, like: &Tensor) -> Result<usize, ModelError> {
    if like.device().is_cpu() {
        return Ok(KV_BYTES);
    }
    let free = device::free_bytes(like.device())?;
    let logits = ROWS_MAX * (config.vocab_size + ADDED_MAX) * size_of::<f32>();
    let passes = Buffers::byte_count(PASS_ROWS + ROWS_MAX, config, like.dtype()) + logits;
    // Sums of attention and tables grow with the pages.
    Ok((free - free / 20).saturating_sub(passes + SPARE_BYTES))
}

/// Chunks that have room at once: those of all pages, the last of each sequence not full; or of one long sequence that
/// checks as many tokens as can be.
fn partial_room(config: &ModelConfig, page_count: usize) -> usize {
    let chunks = |tokens: usize| tokens.div_ceil(codeact_ops::paged::CHUNK_TOKENS) + 1;
    let all = chunks(page_count * PAGE_TOKENS) + ROWS_MAX;
    let longest = chunks(config.context_tokens_max.min(page_count * PAGE_TOKENS)).next_power_of_two();
    all.next_power_of_two().max(longest * DECODE_TOKENS_MAX)
}

/// What a decoder takes while it is served, beside its weights and pages, but for adapters and expanded weights: buffers of
/// passes of up to so many rows, attention's sums, logits, and what recordings and cuBLAS hold.
pub(super) fn live_bytes(config: &ModelConfig, dtype: DType, page_count: usize, pass_rows: usize) -> usize {
    let logits = ROWS_MAX * (config.vocab_size + ADDED_MAX) * size_of::<f32>();
    let passes = Buffers::byte_count(pass_rows + ROWS_MAX, config, dtype);
    let partial = partial_room(config, page_count) * config.head_count * (config.head_width + 2) * size_of::<f32>();
    passes + logits + partial + RECORDING_BYTES
}

/// The dtype of activations: that of the products that most weights ask for.
fn dtype(tensors: &Tensors, config: &ModelConfig, weights: ServedWeights) -> Result<DType, ModelError> {
    let is_f32 = match weights {
        ServedWeights::Stored => {
            let shape = [config.intermediate_size, config.hidden_size];
            tensors.get("model.layers.0.mlp.gate_proj.weight", &shape)?.format == Format::F32
        }
        ServedWeights::F32 => true,
        _ => false,
    };
    Ok(if is_f32 { DType::F32 } else { DType::BF16 })
}
