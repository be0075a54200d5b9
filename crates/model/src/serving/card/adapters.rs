//! Adapters of requests in the slots of a card.

use std::collections::HashSet;

use candle_core::{DType, Device, Tensor};
use codeact_ops::linear::{Lora, Up};
use codeact_ops::row_lora::{NO_SLOT, Slots};

use crate::ModelError;
use crate::adapter::Fused;
use crate::config::ModelConfig;
use crate::serving::{ServedAdapter, Step};

/// Adapters on the card at once, and in one pass at most; others wait on the host.
pub(super) const SLOT_COUNT: usize = 64;

/// Rows of `A` that share an input (three pairs of rank 256), and tokens that an adapter adds, at most.
const RANKS_MAX: usize = 768;
pub(super) const ADDED_MAX: usize = 64;

/// Whether an adapter has room in a slot.
///
/// # Errors
/// When its rank is too large, or it adds too many tokens.
pub(super) fn check(adapter: &ServedAdapter) -> Result<(), ModelError> {
    if adapter.has_factors() {
        let what = "an adapter of DoRA, which a card serves merged, not beside its base\nhint: \
                    `codeact-train merge --adapter DIR --out MERGED`, then serve `MERGED`";
        return Err(ModelError::Batch(what.to_owned()));
    }
    let (ranks, added) = (adapter.ranks_max(), adapter.new_token_count());
    if ranks <= RANKS_MAX && added <= ADDED_MAX {
        return Ok(());
    }
    Err(ModelError::Batch(format!(
        "an adapter with {ranks} inner rows on one input and {added} new tokens; a card takes {RANKS_MAX} (rank {} on \
         queries, keys and values) and {ADDED_MAX}\nhint: serve it with `--device cpu`",
        RANKS_MAX / 3
    )))
}

/// How many adapters these steps go through.
pub(super) fn count(steps: &[Step<'_>]) -> usize {
    steps.iter().filter_map(|step| step.adapter).map(ServedAdapter::id).collect::<HashSet<_>>().len()
}

/// The adapters that passes used last.
pub(super) struct Adapters {
    pub(super) slots: Slots,
    /// Of each slot the adapter in it, and the pass that used it last.
    owners: Vec<Option<(u64, u64)>>,
    pass: u64,
    device: Device,
    dtype: DType,
}

impl Adapters {
    pub(super) fn new(config: &ModelConfig, like: &Tensor) -> Result<Self, ModelError> {
        let weights = config.layer_count * Fused::ALL.len();
        Ok(Self {
            slots: Slots::new(SLOT_COUNT, weights, RANKS_MAX, like)?,
            owners: vec![None; SLOT_COUNT],
            pass: 0,
            device: like.device().clone(),
            dtype: like.dtype(),
        })
    }

    /// The place of a weight among all that adapters touch.
    pub(super) fn weight(layer: usize, fused: Fused) -> usize {
        layer * Fused::ALL.len() + fused as usize
    }

    /// Of every row of a pass its slot, and the most inner rows that any of the adapters has on one input; 0 when no row
    /// has an adapter. Brings adapters onto the card that are not there.
    pub(super) fn of_rows(
        &mut self,
        steps: &[Step<'_>],
        config: &ModelConfig,
    ) -> Result<(Vec<u32>, usize), ModelError> {
        self.pass += 1;
        let mut slots = Vec::new();
        for step in steps {
            let slot = step.adapter.map_or(Ok(NO_SLOT), |adapter| self.slot(adapter, config))?;
            slots.extend(std::iter::repeat_n(slot, step.token_ids.len()));
        }
        // An adapter without pairs still adds tokens.
        let ranks = steps.iter().filter_map(|step| step.adapter).map(|adapter| adapter.ranks_max().max(1)).max();
        Ok((slots, ranks.unwrap_or(0)))
    }

    fn slot(&mut self, adapter: &ServedAdapter, config: &ModelConfig) -> Result<u32, ModelError> {
        let pass = self.pass;
        if let Some(at) = self.owners.iter().position(|owner| owner.is_some_and(|(id, _)| id == adapter.id())) {
            self.owners[at] = Some((adapter.id(), pass));
            return Ok(at as u32);
        }
        // An empty slot, or that of the adapter that was used longest ago; not one of this pass.
        let used = |at: &usize| self.owners[*at].map_or(0, |(_, used)| used);
        let oldest = (0..SLOT_COUNT).min_by_key(used).filter(|at| used(at) < pass);
        let Some(at) = oldest else {
            return Err(ModelError::Batch(format!("more than {SLOT_COUNT} adapters in one pass")));
        };
        self.owners[at] = None;
        self.load(at, adapter, config)?;
        self.owners[at] = Some((adapter.id(), pass));
        Ok(at as u32)
    }

    fn load(&mut self, slot: usize, adapter: &ServedAdapter, config: &ModelConfig) -> Result<(), ModelError> {
        check(adapter)?;
        let tensor = |values: &[f32], rows: usize| -> Result<Tensor, ModelError> {
            let shape = (rows, values.len() / rows);
            Ok(Tensor::from_slice(values, shape, &self.device)?.to_dtype(self.dtype)?)
        };
        let mut pairs = Vec::new();
        for layer in 0..config.layer_count {
            for fused in Fused::ALL {
                let (mut a, mut b) = (Vec::new(), Vec::new());
                for (column, pair) in adapter.pairs(layer, fused) {
                    a.push(tensor(pair.a, pair.rank)?);
                    b.push(Up { column, b: tensor(pair.b, pair.rank)?, scale: pair.scale });
                }
                let lora = if a.is_empty() { None } else { Some(Lora { a: Tensor::cat(&a, 0)?, b, dropout: None }) };
                pairs.push((Self::weight(layer, fused), lora));
            }
        }
        let new_tokens = match adapter.new_tokens() {
            Some(tokens) => {
                let count = adapter.new_token_count();
                let mut rows = [vec![0.0; count * config.hidden_size], vec![0.0; count * config.hidden_size]];
                for index in 0..count {
                    let range = index * config.hidden_size..(index + 1) * config.hidden_size;
                    rows[0][range.clone()].copy_from_slice(tokens.embedding(index));
                    tokens.head().decode_row(index, &mut rows[1][range]);
                }
                Some((tensor(&rows[0], count)?, tensor(&rows[1], count)?))
            }
            None => None,
        };
        for (weight, lora) in pairs {
            self.slots.set(weight, slot, lora)?;
        }
        Ok(self.slots.set_new_tokens(slot, new_tokens)?)
    }
}
