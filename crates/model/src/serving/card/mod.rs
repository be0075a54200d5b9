//! The model that serves, on a card: the same passes as [`crate::serving::ServedModel`], by kernels.
//!
//! Weights lie in the bits they have in their files, or are asked for; activations are in bf16, or f32 beside weights in
//! f32. Small passes are recorded once and repeated, tokens can be chosen on the card. A row does not depend on its
//! company within small passes, and not within large ones; but low bits differ between the two, as products of many rows
//! go through cuBLAS.

mod adapters; // adapters of requests, in slots
mod blocks; // formats of files
mod pass; // one pass
mod small; // passes that are recorded
mod weights; // weights on the card

use candle_core::{DType, Device, Tensor};
use codeact_cpu::Format;
use codeact_ops::embedding;
use codeact_ops::paged::{DECODE_TOKENS_MAX, PAGE_TOKENS, Pages, Partial, Plan, Sequence, Tables};
use codeact_ops::recording::{buffer, download};
use codeact_ops::sampling::Choice;

use super::pass::{WantedRow, check, wanted_rows};
use super::tensors::Tensors;
use super::{ServedAdapter, ServedWeights, ServingOptions, Step, Wanted};
use crate::ModelError;
use crate::config::ModelConfig;
use crate::source::ModelFiles;

use adapters::{ADDED_MAX, Adapters};
use pass::{Buffers, Model, Rows};
use small::{ROWS_MAX, Small, SmallPass};
use weights::{Loading, Weights};

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
        let like = Tensor::zeros(1, dtype, device)?;
        let weights = Loading { tensors, weights: options.weights, dtype, device }.all(&config)?;
        let attention = config.attention(dtype);
        let page_bytes = config.layer_count * Pages::page_bytes(dtype, &attention);
        let page_count = options.pages_of(page_bytes)?;
        let pages =
            (0..config.layer_count).map(|_| Pages::new(page_count, &attention, &like)).collect::<Result<_, _>>()?;
        let room = partial_room(&config, page_count);
        let frequencies = &config.rotary.inverse_frequencies;
        let mut model = Self {
            partial: Partial::new(room, &attention, &like)?,
            inverse_frequencies: Tensor::from_slice(frequencies, frequencies.len(), device)?,
            adapters: Adapters::new(&config, &like)?,
            expanded: None,
            small: None,
            weights,
            pages,
            like,
            page_count,
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

    /// Bytes of weights that one decoded token reads: all but the embedding.
    pub fn token_bytes(&self) -> usize {
        self.weights.token_bytes()
    }

    /// Bytes of the keys and values of one token in all layers.
    pub fn kv_bytes_per_token(&self) -> usize {
        let attention = self.config.attention(self.like.dtype());
        self.config.layer_count * Pages::page_bytes(self.like.dtype(), &attention) / PAGE_TOKENS
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

    /// As [`crate::serving::ServedModel::forward`].
    ///
    /// # Errors
    /// When a step has no tokens, a token that the model does not know, or too few pages, and nothing is computed then; or
    /// when the card fails.
    pub fn forward(
        &mut self,
        steps: &[Step<'_>],
        on_row: &mut dyn FnMut(usize, usize, &mut [f32]),
    ) -> Result<(), ModelError> {
        check(steps, self.config.vocab_size, self.page_count)?;
        let mut first = 0;
        while first < steps.len() {
            let mut last = steps.len();
            while last > first + 1 && !self.has_room(&steps[first..last])? {
                last = first + (last - first).div_ceil(2);
            }
            self.forward_part(&steps[first..last], &mut |step, token, row| on_row(first + step, token, row))?;
            first = last;
        }
        Ok(())
    }

    /// Runs a small pass and chooses a token after every new token of every step, on the card.
    ///
    /// * `choices`: one for each new token, step after step; up to 64 of at most 8 tokens a step.
    /// * Returns as many tokens, [`codeact_ops::sampling::NO_TOKEN`] where no logit is finite.
    ///
    /// # Errors
    /// As [`CardModel::forward`], and when the pass is too large or has other choices than tokens.
    pub fn choose(&mut self, steps: &[Step<'_>], choices: &[Choice]) -> Result<Vec<u32>, ModelError> {
        check(steps, self.config.vocab_size, self.page_count)?;
        let plan = self.plan(steps)?;
        if choices.len() != plan.row_count() || choices.is_empty() || !Small::takes(&plan, &self.model()) {
            let what = format!("{} choices for {} new tokens; at most {ROWS_MAX}", choices.len(), plan.row_count());
            return Err(ModelError::Batch(what));
        }
        self.run_small(steps, plan, Some(choices))?;
        let mut tokens = vec![0u32; choices.len()];
        if let Some(small) = &self.small {
            download(&small.tokens, &mut tokens)?;
        }
        Ok(tokens)
    }

    fn forward_part(
        &mut self,
        steps: &[Step<'_>],
        on_row: &mut dyn FnMut(usize, usize, &mut [f32]),
    ) -> Result<(), ModelError> {
        let plan = self.plan(steps)?;
        let wanted = wanted_rows(steps);
        if !Small::takes(&plan, &self.model()) {
            return self.run_large(steps, &plan, &wanted, on_row);
        }
        let logits = self.run_small(steps, plan, None)?;
        let hidden = self.small.as_ref().map(|small| small.hidden().clone());
        for at in &wanted {
            let mut row = match (steps[at.step].wanted, &hidden) {
                (Wanted::Hidden, Some(hidden)) => values(&hidden.narrow(0, at.row, 1)?)?,
                _ => values(&logits.narrow(0, at.row, 1)?)?,
            };
            on_row(at.step, at.token, self.cut(&mut row, &steps[at.step]));
        }
        Ok(())
    }

    fn run_small(&mut self, steps: &[Step<'_>], plan: Plan, choices: Option<&[Choice]>) -> Result<Tensor, ModelError> {
        let ids = steps.iter().flat_map(|step| step.token_ids).copied().collect();
        let (slots, adapted) = self.adapters.of_rows(steps, &self.config)?;
        let mut small = self.small.take().expect("put back below, whatever comes");
        let logits = small.run(SmallPass { plan, ids, slots, adapted, choices }, &self.model(), &self.like);
        self.small = Some(small);
        Ok(logits?)
    }

    /// A pass of any size, queued kernel by kernel.
    fn run_large(
        &mut self,
        steps: &[Step<'_>],
        plan: &Plan,
        wanted: &[WantedRow],
        on_row: &mut dyn FnMut(usize, usize, &mut [f32]),
    ) -> Result<(), ModelError> {
        self.expand()?;
        let (slots, adapted) = self.adapters.of_rows(steps, &self.config)?;
        let (model, device) = (self.model(), self.like.device());
        let list = |values: &[u32]| Tensor::from_slice(values, values.len(), device);
        let ids: Vec<u32> = steps.iter().flat_map(|step| step.token_ids).copied().collect();
        let (ids, row_slots, tables) = (list(&ids)?, list(&slots)?, Tables::new(plan, &self.like)?);
        let buffers = Buffers::new(plan.row_count(), &self.config, model.slots.ranks_max(), &self.like)?;
        model.run(&Rows { ids: &ids, slots: &row_slots, adapted, tables: &tables, buffers: &buffers })?;
        let logits = buffer(&self.like, ROWS_MAX * (self.config.vocab_size + ADDED_MAX), DType::F32)?;
        for wanted in wanted.chunks(ROWS_MAX) {
            let rows: Vec<u32> = wanted.iter().map(|at| at.row as u32).collect();
            let own: Vec<u32> = wanted.iter().map(|at| slots[at.row]).collect();
            let picked = embedding::forward(&buffers.normed, None, &rows)?;
            let logits = match wanted.iter().any(|at| steps[at.step].wanted != Wanted::Hidden) {
                true => Some(model.head(&picked, &list(&own)?, adapted, &logits)?),
                false => None,
            };
            for (index, at) in wanted.iter().enumerate() {
                let mut row = match (steps[at.step].wanted, &logits) {
                    (Wanted::Logits { .. }, Some(logits)) => values(&logits.narrow(0, index, 1)?)?,
                    _ => values(&picked.narrow(0, index, 1)?)?,
                };
                on_row(at.step, at.token, self.cut(&mut row, &steps[at.step]));
            }
        }
        Ok(())
    }

    /// What a step's row is without the places of tokens that its adapter does not have.
    fn cut<'a>(&self, row: &'a mut [f32], step: &Step<'_>) -> &'a mut [f32] {
        match step.wanted {
            Wanted::Logits { .. } => &mut row[..self.vocab_size(step.adapter)],
            _ => row,
        }
    }

    fn plan<'a>(&self, steps: &[Step<'a>]) -> Result<Plan, ModelError> {
        let sequence = |step: &Step<'a>| Sequence { pages: step.pages, first: step.first, len: step.token_ids.len() };
        let sequences: Vec<Sequence<'_>> = steps.iter().map(sequence).collect();
        Ok(Plan::new(&sequences, self.config.sliding_window)?)
    }

    /// Whether the chunks of these steps have room.
    fn has_room(&self, steps: &[Step<'_>]) -> Result<bool, ModelError> {
        let plan = self.plan(steps)?;
        Ok(plan.chunk_count() * plan.tokens_max <= self.partial.room())
    }

    /// Room for expanded weights, once a pass has many rows.
    fn expand(&mut self) -> Result<(), ModelError> {
        let projections = self.weights.layers.iter().flat_map(|layer| &layer.projections);
        let count = projections.chain([&self.weights.head]).map(|projection| projection.expanded_count()).max();
        if let (None, Some(count @ 1..)) = (&self.expanded, count) {
            self.expanded = Some(buffer(&self.like, count, DType::BF16)?);
        }
        Ok(())
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

/// Chunks that have room at once: those of all pages, the last of each sequence not full; or of one long sequence that
/// checks as many tokens as can be.
fn partial_room(config: &ModelConfig, page_count: usize) -> usize {
    let chunks = |tokens: usize| tokens.div_ceil(codeact_ops::paged::CHUNK_TOKENS) + 1;
    let all = chunks(page_count * PAGE_TOKENS) + ROWS_MAX;
    let longest = chunks(config.context_tokens_max.min(page_count * PAGE_TOKENS)).next_power_of_two();
    all.next_power_of_two().max(longest * DECODE_TOKENS_MAX)
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

fn values(tensor: &Tensor) -> candle_core::Result<Vec<f32>> {
    if tensor.dtype() != DType::F32 {
        return tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1();
    }
    let mut values = vec![0.0; tensor.elem_count()];
    download(tensor, &mut values)?;
    Ok(values)
}
