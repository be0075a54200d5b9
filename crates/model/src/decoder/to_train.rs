//! A decoder whose own weights are trained.

use std::path::Path;

use candle_core::{Device, Error, Tensor};

use super::objective::Objective;
use super::{Decoder, NewRows, new_row};
use crate::ModelError;
use crate::batch::Batch;
use crate::block::{Block, Recompute};
use crate::config::ModelConfig;
use crate::full::FullWeights;
use crate::weights::{WeightFiles, WeightSource, Weights};

impl Decoder {
    /// Loads a Hugging Face folder to train all of it. The decoder's weights are views of what is returned beside it.
    ///
    /// * `weights`: what products are computed with, f32 or bf16.
    /// * `vocab_size`: tokens of the tokenizer. Where that is more than the model has, embedding and head get more rows,
    ///   which start as `start` says.
    /// * `on_bytes` hears of each tensor's bytes in the files as they are done.
    ///
    /// # Errors
    /// As [`Decoder::load`]; when `weights` are of 4 bits.
    pub fn load_to_train(
        folder: &Path,
        weights: Weights,
        (vocab_size, start): (usize, NewRows),
        device: &Device,
        on_bytes: &mut dyn FnMut(u64),
    ) -> Result<(Self, FullWeights), ModelError> {
        let config = ModelConfig::load(folder)?;
        let files = WeightFiles::open(folder)?;
        files.refuse_biases()?;
        let mut source = WeightSource::files(files, Weights::F32, device, on_bytes);
        Self::to_train(config, &mut source, weights, (vocab_size, start), device)
    }

    /// As [`Decoder::random`], to train all of it.
    ///
    /// # Errors
    /// As [`Decoder::random`]; when `weights` are of 4 bits.
    pub fn random_to_train(
        config: ModelConfig,
        weights: Weights,
        device: &Device,
        seed: u64,
    ) -> Result<(Self, FullWeights), ModelError> {
        let mut source = WeightSource::random(Weights::F32, device, seed)?;
        let rows = (config.vocab_size, NewRows::Mean);
        Self::to_train(config, &mut source, weights, rows, device)
    }

    fn to_train(
        mut config: ModelConfig,
        source: &mut WeightSource<'_>,
        weights: Weights,
        (vocab_size, start): (usize, NewRows),
        device: &Device,
    ) -> Result<(Self, FullWeights), ModelError> {
        let stored_rows = config.vocab_size;
        config.vocab_size = vocab_size.max(stored_rows);
        let full = FullWeights::read_from(source, &config, stored_rows, weights, device)?;
        let layout = full.layout();
        let tables = std::iter::once(&layout.embedding).chain(layout.has_head().then(|| layout.head()));
        for place in tables.filter(|_| config.vocab_size > stored_rows) {
            let table = place.view(full.parameters())?.narrow(0, 0, stored_rows)?;
            full.fill_rows(place, stored_rows, &new_row(&table, start)?.copy()?)?;
        }
        full.refresh()?;
        let values = full.values();
        let decoder = Self {
            config,
            embedding: layout.embedding.view(values)?,
            blocks: layout.blocks.iter().map(|places| Block::of_views(places, values)).collect::<Result<_, _>>()?,
            norm: layout.norm.view(values)?,
            head: layout.has_head().then(|| layout.head().view(values)).transpose()?,
            layout: Some(layout.clone()),
        };
        Ok((decoder, full))
    }

    /// As [`Decoder::losses_and_gradients`], of a decoder whose weights are trained themselves.
    ///
    /// * `gradients`: flat f32, as long as [`FullWeights::parameters`].
    ///
    /// # Errors
    /// As there; when the weights are frozen.
    pub fn losses_and_weight_gradients(
        &self,
        batch: &Batch,
        scale: f64,
        recompute: Recompute,
        gradients: &Tensor,
    ) -> Result<Vec<f64>, ModelError> {
        let Some(layout) = self.layout.as_deref() else {
            return Err(Error::msg("the weights of this decoder are frozen").into());
        };
        self.learn(None, Some(layout), batch, Objective::Sum(scale), recompute, gradients)
    }
}
