//! LoRA adapters: every matrix in one flat f32 vector, read and written as PEFT does.

mod config;
mod files;
mod layout;
mod peft;

use std::ops::Range;

use candle_core::{Device, Result, Tensor};
use codeact_ops::linear::Lora;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::config::ModelConfig;

pub use config::{LoraConfig, ModulePattern, PairShape};
pub(crate) use layout::Fused;
use layout::{Slot, slots};

/// A projection that can carry a LoRA pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Target {
    /// Queries.
    #[serde(rename = "q_proj")]
    Q,
    /// Keys.
    #[serde(rename = "k_proj")]
    K,
    /// Values.
    #[serde(rename = "v_proj")]
    V,
    /// Attention output.
    #[serde(rename = "o_proj")]
    O,
    /// MLP gate.
    #[serde(rename = "gate_proj")]
    Gate,
    /// MLP up.
    #[serde(rename = "up_proj")]
    Up,
    /// MLP down.
    #[serde(rename = "down_proj")]
    Down,
}

impl Target {
    /// All seven linear projections of a block.
    pub const ALL: [Self; 7] = [Self::Q, Self::K, Self::V, Self::O, Self::Gate, Self::Up, Self::Down];

    /// Name in `target_modules`: `q_proj`, ...
    pub fn name(self) -> &'static str {
        let module = self.module();
        module.split_once('.').map_or(module, |(_, name)| name)
    }

    /// Module path inside a block: `self_attn.q_proj`, ...
    pub fn module(self) -> &'static str {
        match self {
            Self::Q => "self_attn.q_proj",
            Self::K => "self_attn.k_proj",
            Self::V => "self_attn.v_proj",
            Self::O => "self_attn.o_proj",
            Self::Gate => "mlp.gate_proj",
            Self::Up => "mlp.up_proj",
            Self::Down => "mlp.down_proj",
        }
    }

    /// Input and output width.
    pub fn widths(self, config: &ModelConfig) -> (usize, usize) {
        let (c, m) = (config.hidden_size, config.intermediate_size);
        let q = config.head_count * config.head_width;
        let kv = config.kv_head_count * config.head_width;
        match self {
            Self::Q => (c, q),
            Self::K | Self::V => (c, kv),
            Self::O => (q, c),
            Self::Gate | Self::Up => (c, m),
            Self::Down => (m, c),
        }
    }
}

/// A trained or trainable adapter.
///
/// The parameters are one flat vector, layer by layer and input by input: for the projections that share an input every
/// `A (R, in)`, then every `Bᵀ (R, out)`, each pair with its own `R`, then with DoRA every magnitude `(out,)`. The
/// optimizer, checkpoints and reductions across devices see a vector; the blocks see views into it.
pub struct Adapter {
    config: LoraConfig,
    slots: Vec<Slot>,
    new_tokens: NewTokens,
    parameters: Tensor,
}

/// Rows for tokens that the base model does not have, such as ChatML's: they follow the pairs in the flat vector.
///
/// Under LoRA the embedding is frozen, so rows appended to it would stay what they were put there as; these are
/// trained and saved with the adapter (PEFT's `trainable_token_indices`).
#[derive(Debug, Clone, Copy)]
struct NewTokens {
    /// Number of new tokens, `N`.
    count: usize,
    /// Id of the first: the base model's vocabulary size.
    first: usize,
    start: usize,
    width: usize,
    /// One set of rows serves as embedding and head.
    tied: bool,
}

impl NewTokens {
    fn new(model: &ModelConfig, count: usize, start: usize) -> Self {
        let (first, width) = (model.vocab_size, model.hidden_size);
        Self { count, first, start, width, tied: model.tie_word_embeddings }
    }

    fn embedding(&self, flat: &Tensor) -> Result<Option<Tensor>> {
        self.rows(flat, self.start)
    }

    fn head(&self, flat: &Tensor) -> Result<Option<Tensor>> {
        let skipped = if self.tied { 0 } else { self.count * self.width };
        self.rows(flat, self.start + skipped)
    }

    fn rows(&self, flat: &Tensor, start: usize) -> Result<Option<Tensor>> {
        if self.count == 0 {
            return Ok(None);
        }
        let rows = flat.narrow(0, start, self.count * self.width)?;
        Ok(Some(rows.reshape((self.count, self.width))?))
    }
}

impl Adapter {
    /// A fresh adapter as PEFT starts one: `A` Kaiming-uniform with `a = sqrt(5)`, so uniform within
    /// `1 / sqrt(in)`, and `B` zero, so that the model starts unchanged.
    ///
    /// [`crate::Decoder::new_adapter`] adds rows of new tokens, and starts DoRA's magnitudes, which are zero here, as the
    /// lengths of the weights' rows.
    ///
    /// # Errors
    /// When the device cannot hold it.
    pub fn new(model: &ModelConfig, config: &LoraConfig, seed: u64, device: &Device) -> Result<Self> {
        Self::with_new_tokens(model, config, seed, device, &[])
    }

    /// As [`Adapter::new`], with the starting rows of new tokens: `(N, C)` for the embedding, then, unless tied, for
    /// the head.
    pub(crate) fn with_new_tokens(
        model: &ModelConfig,
        config: &LoraConfig,
        seed: u64,
        device: &Device,
        rows: &[f32],
    ) -> Result<Self> {
        let (slots, count) = slots(model, config);
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut values = Vec::with_capacity(count + rows.len());
        values.resize(count, 0f32);
        for slot in &slots {
            let bound = 1.0 / (slot.c_in as f32).sqrt();
            for value in &mut values[slot.a_start..slot.a_start + slot.rank * slot.c_in] {
                let unit = (random.next_u32() >> 8) as f32 / (1 << 24) as f32;
                *value = (2.0 * unit - 1.0) * bound;
            }
        }
        values.extend_from_slice(rows);
        let tables = if model.tie_word_embeddings { 1 } else { 2 };
        let new_tokens = NewTokens::new(model, rows.len() / model.hidden_size / tables, count);
        Self::from_values(slots, new_tokens, config, values, device)
    }

    fn from_values(
        slots: Vec<Slot>,
        new_tokens: NewTokens,
        config: &LoraConfig,
        values: Vec<f32>,
        device: &Device,
    ) -> Result<Self> {
        let count = values.len();
        Ok(Self { config: config.clone(), slots, new_tokens, parameters: Tensor::from_vec(values, count, device)? })
    }

    /// Tokens this adapter adds to the base model's vocabulary.
    pub fn new_token_count(&self) -> usize {
        self.new_tokens.count
    }

    /// Embedding rows of the new tokens, `(N, C)`, in a flat vector: the parameters or their gradients.
    ///
    /// # Errors
    /// When the vector is shorter than the parameters.
    pub fn new_embedding(&self, flat: &Tensor) -> Result<Option<Tensor>> {
        self.new_tokens.embedding(flat)
    }

    /// Head rows of the new tokens, `(N, C)`, likewise; the same rows when the base model ties them.
    ///
    /// # Errors
    /// As [`Adapter::new_embedding`].
    pub fn new_head(&self, flat: &Tensor) -> Result<Option<Tensor>> {
        self.new_tokens.head(flat)
    }

    /// Shape and scaling.
    pub fn config(&self) -> &LoraConfig {
        &self.config
    }

    /// The same adapter, to be trained with this probability of dropout.
    pub fn with_dropout(mut self, dropout: f64) -> Self {
        self.config.dropout = dropout;
        self
    }

    /// All parameters, `(P,)` f32. Updating them in place updates the adapter.
    pub fn parameters(&self) -> &Tensor {
        &self.parameters
    }

    /// Number of trainable values, `P`.
    pub fn parameter_count(&self) -> usize {
        self.parameters.elem_count()
    }

    /// `A (R, in)` and `Bᵀ (R, out)` of a projection in a flat vector, the parameters or their gradients, if it has a
    /// pair.
    ///
    /// # Errors
    /// When the vector is shorter than the parameters.
    pub fn pair(&self, flat: &Tensor, layer: usize, target: Target) -> Result<Option<(Tensor, Tensor)>> {
        let slot = self.layer_slots(layer).iter().find(|slot| slot.target == target);
        slot.map(|slot| slot.views(flat)).transpose()
    }

    /// The pairs on one fused weight in a flat vector, likewise.
    pub(crate) fn lora(&self, flat: &Tensor, layer: usize, fused: Fused) -> Result<Option<Lora>> {
        layout::lora(self.layer_slots(layer), fused, flat)
    }

    /// The magnitudes of a projection's rows `(out,)` in a flat vector, the parameters or their gradients, with DoRA.
    ///
    /// # Errors
    /// When the vector is shorter than the parameters.
    pub fn magnitude(&self, flat: &Tensor, layer: usize, target: Target) -> Result<Option<Tensor>> {
        let slot = self.layer_slots(layer).iter().find(|slot| slot.target == target);
        slot.map_or(Ok(None), |slot| slot.magnitude(flat))
    }

    /// Those of the pairs on one fused weight, in the order of the pairs of [`Adapter::lora`]; none without DoRA.
    pub(crate) fn magnitudes(&self, flat: &Tensor, layer: usize, fused: Fused) -> Result<Vec<Tensor>> {
        layout::magnitudes(self.layer_slots(layer), fused, flat)
    }

    /// The factor on the update of a projection's pair; 0 where it has none.
    pub fn scaling(&self, layer: usize, target: Target) -> f64 {
        let slot = self.layer_slots(layer).iter().find(|slot| slot.target == target);
        slot.map_or(0.0, |slot| slot.scaling)
    }

    /// Where every `Bᵀ` lies in the flat vector, and with DoRA the magnitudes, ascending: the rest is `A` and rows of new
    /// tokens. PEFT's LoRA+ takes the two together.
    pub fn up_ranges(&self) -> Vec<Range<usize>> {
        let mut all: Vec<Range<usize>> = self.slots.iter().flat_map(Slot::up_ranges).collect();
        all.sort_by_key(|range| range.start);
        let mut ranges: Vec<Range<usize>> = Vec::new();
        for own in all {
            match ranges.last_mut().filter(|last| last.end == own.start) {
                Some(last) => last.end = own.end,
                None => ranges.push(own),
            }
        }
        ranges
    }

    /// For each pair on one fused weight the random numbers that are its own.
    pub(crate) fn streams(&self, layer: usize, fused: Fused) -> Vec<u32> {
        layout::streams(self.layer_slots(layer), fused)
    }

    fn layer_slots(&self, layer: usize) -> &[Slot] {
        let start = self.slots.partition_point(|slot| slot.layer < layer);
        let end = self.slots.partition_point(|slot| slot.layer <= layer);
        &self.slots[start..end]
    }
}
