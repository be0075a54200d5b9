//! The decoder that learns: embedding, blocks, final norm, head.

mod dora;
mod objective;
mod to_train;

use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use codeact_ops::cross_entropy::Head;
use codeact_ops::rope::Angles;
use codeact_ops::{SeqBounds, activation_dtype, cross_entropy, embedding, linear, residual, rms_norm};

use crate::ModelError;
use crate::adapter::{Adapter, LoraConfig};
use crate::batch::Batch;
use crate::block::{Block, Gates, Layer, Recompute, Step, Stream};
use crate::config::ModelConfig;
use crate::decoder::objective::Objective;
use crate::full::Layout;
use crate::weights::{WeightFiles, WeightSource, Weights};

pub use objective::Weigh;

/// A Llama or Mistral decoder: frozen, or views of [`crate::FullWeights`].
pub struct Decoder {
    config: ModelConfig,
    embedding: Tensor,
    blocks: Vec<Block>,
    norm: Tensor,
    /// `None` when tied to the embedding.
    head: Option<Tensor>,
    /// Where the weights lie in the vector that they are views of, where they are trained.
    layout: Option<Arc<Layout>>,
}

/// What the embedding rows of new tokens start as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewRows {
    /// The mean of all rows.
    Mean,
    /// A copy of the last row, as Megatron's checkpoints are padded: the start of the CodeAct models.
    CopyOfLast,
}

impl Decoder {
    /// Loads a Hugging Face folder (`config.json` and safetensors).
    ///
    /// * `weights`: how they are kept, which also says in what precision products are. Activations are f32 on the CPU
    ///   and of the weights' dtype on a card.
    ///
    /// # Errors
    /// When the config asks for something unsupported, a tensor is missing or has another shape.
    pub fn load(folder: &Path, weights: impl Into<Weights>, device: &Device) -> Result<Self, ModelError> {
        Self::load_reporting(folder, weights, device, &mut |_| {})
    }

    /// As [`Decoder::load`]; `on_bytes` hears of each tensor's bytes in the files as they are done.
    ///
    /// # Errors
    /// As [`Decoder::load`].
    pub fn load_reporting(
        folder: &Path,
        weights: impl Into<Weights>,
        device: &Device,
        on_bytes: &mut dyn FnMut(u64),
    ) -> Result<Self, ModelError> {
        let config = ModelConfig::load(folder)?;
        let files = WeightFiles::open(folder)?;
        files.refuse_biases()?;
        Self::from_source(config, WeightSource::files(files, weights.into(), device, on_bytes))
    }

    /// A decoder of this shape with random weights (deviation 0.02, norms 1), made on the device: for measurements at
    /// sizes whose weights are not at hand.
    ///
    /// # Errors
    /// When the device cannot hold them.
    pub fn random(config: ModelConfig, weights: Weights, device: &Device, seed: u64) -> Result<Self, ModelError> {
        Self::from_source(config, WeightSource::random(weights, device, seed)?)
    }

    fn from_source(config: ModelConfig, mut source: WeightSource<'_>) -> Result<Self, ModelError> {
        let table = [config.vocab_size, config.hidden_size];
        let head = match config.tie_word_embeddings {
            true => None,
            false => Some(source.table("lm_head.weight", &table)?),
        };
        Ok(Self {
            embedding: source.table("model.embed_tokens.weight", &table)?,
            blocks: (0..config.layer_count)
                .map(|index| Block::load(&mut source, &config, index))
                .collect::<Result<_, _>>()?,
            norm: source.norm("model.norm.weight", config.hidden_size)?,
            head,
            config,
            layout: None,
        })
    }

    /// Shape and constants.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Embedding `(V, C)`, blocks, weight of the final norm `(C,)`, and the head `(V, C)` unless it is the embedding.
    pub(crate) fn parts(&self) -> (&Tensor, &[Block], &Tensor, Option<&Tensor>) {
        (&self.embedding, &self.blocks, &self.norm, self.head.as_ref())
    }

    /// [`Decoder::new_adapter_with`] new rows that start as the mean of all others.
    ///
    /// # Errors
    /// When the device cannot hold it.
    pub fn new_adapter(&self, lora: &LoraConfig, vocab_size: usize, seed: u64) -> Result<Adapter, ModelError> {
        self.new_adapter_with(lora, vocab_size, seed, NewRows::Mean)
    }

    /// A fresh adapter for this model ([`Adapter::new`]). When the vocabulary is larger than the model's, as after
    /// adding ChatML's tokens, the adapter gets rows for the new tokens, which are trained.
    ///
    /// * `vocab_size`: tokens of the tokenizer.
    /// * `start`: what these rows start as.
    ///
    /// # Errors
    /// When the device cannot hold it.
    pub fn new_adapter_with(
        &self,
        lora: &LoraConfig,
        vocab_size: usize,
        seed: u64,
        start: NewRows,
    ) -> Result<Adapter, ModelError> {
        let count = vocab_size.saturating_sub(self.config.vocab_size);
        let mut rows = Vec::new();
        let tables = std::iter::once(&self.embedding).chain(&self.head);
        for table in tables.filter(|_| count > 0) {
            rows.extend(new_row(table, start)?.to_vec1::<f32>()?.repeat(count));
        }
        let adapter = Adapter::with_new_tokens(&self.config, lora, seed, self.embedding.device(), &rows)?;
        self.start_magnitudes(&adapter)?;
        Ok(adapter)
    }

    /// Sum over the supervised rows of the negative log-likelihood, in nats.
    ///
    /// # Errors
    /// When a token is outside the vocabulary.
    pub fn loss(&self, adapter: Option<&Adapter>, batch: &Batch) -> Result<f64, ModelError> {
        let normed = self.hidden(adapter, batch, Some(&batch.target_rows))?;
        let new_head = new_head(adapter)?;
        Ok(cross_entropy::forward(&normed, self.head(new_head.as_ref()), &batch.labels)?)
    }

    /// Logits of every token, `(T, V)`, in the dtype of the activations. For tests and inspection: training and serving
    /// never need them all.
    ///
    /// # Errors
    /// When a token is outside the vocabulary.
    pub fn logits(&self, adapter: Option<&Adapter>, batch: &Batch) -> Result<Tensor, ModelError> {
        self.head_logits(&self.hidden(adapter, batch, None)?, adapter)
    }

    /// Logits that predict the supervised tokens, `(N, V)`, in the dtype of the activations.
    ///
    /// # Errors
    /// When a token is outside the vocabulary.
    pub fn target_logits(&self, adapter: Option<&Adapter>, batch: &Batch) -> Result<Tensor, ModelError> {
        self.head_logits(&self.hidden(adapter, batch, Some(&batch.target_rows))?, adapter)
    }

    /// The losses of [`Decoder::losses`], unscaled, and the gradient of `scale` times their sum added to `gradients`.
    /// With the batch's noise, which no other function applies.
    ///
    /// * `scale`: one over the supervised tokens of the whole optimizer step, so that accumulation over any split of
    ///   a step gives the same gradient.
    /// * `gradients`: flat f32, as long as [`Adapter::parameters`].
    ///
    /// # Errors
    /// When a token is outside the vocabulary.
    pub fn losses_and_gradients(
        &self,
        adapter: &Adapter,
        batch: &Batch,
        scale: f64,
        recompute: Recompute,
        gradients: &Tensor,
    ) -> Result<Vec<f64>, ModelError> {
        self.learn(Some(adapter), None, batch, Objective::Sum(scale), recompute, gradients)
    }

    fn learn(
        &self,
        adapter: Option<&Adapter>,
        places: Option<&Layout>,
        batch: &Batch,
        objective: Objective<'_>,
        recompute: Recompute,
        gradients: &Tensor,
    ) -> Result<Vec<f64>, ModelError> {
        let angles = self.angles(&batch.bounds.positions())?;
        let attention = self.config.attention(self.embedding.dtype());
        let mut step = Step { places, ..self.step(&batch.bounds, &angles, &attention, adapter)? };
        let embedded = self.embed(&batch.token_ids, adapter)?;
        if let Some(noise) = &batch.noise {
            noise.add_to_embeddings(&embedded, &batch.bounds)?;
            let dropout = |adapter: &Adapter| noise.dropout(adapter, &batch.bounds, &batch.target_rows, &embedded);
            step.dropout = adapter.map_or(Ok(None), dropout)?;
        }
        let mut stream = Stream::new(embedded);
        let mut saved = Vec::with_capacity(self.blocks.len());
        for (index, block) in self.blocks.iter().enumerate() {
            let layer = self.layer(&step, index, Some(&batch.target_rows));
            let (output, kept) = block.forward(stream, layer, recompute)?;
            saved.push(kept);
            stream = output;
        }
        let (rows, normed) = stream.settle(&self.norm, step.eps)?;
        let new_head = new_head(adapter)?;
        let head = self.head(new_head.as_ref());
        let dhead = places.map(|places| places.head().view(gradients)).transpose()?;
        let labels = &batch.labels;
        let weights = objective.weights(&normed, head, labels)?;
        let output = cross_entropy::forward_backward_into(&normed, head, labels, weights.scale(), dhead.as_ref())?;
        let new_head = adapter.map_or(Ok(None), |adapter| adapter.new_head(gradients))?;
        if let (Some(dextra), Some(gradient)) = (&output.dextra, new_head) {
            residual::add_assign(&gradient, dextra)?;
        }
        if let Some(places) = places {
            rms_norm::weight_gradient(&output.dhidden, &rows, step.eps, &places.norm.view(gradients)?)?;
        }
        let mut dx = rms_norm::backward(&output.dhidden, &rows, &self.norm, step.eps, None)?;
        let losses = output.losses;
        drop((rows, normed, output.dhidden));
        for (index, block) in self.blocks.iter().enumerate().rev() {
            let kept = saved.pop().expect("one entry for each block");
            dx = block.backward(dx, kept, self.layer(&step, index, Some(&batch.target_rows)), gradients)?;
        }
        if let Some(gradient) = adapter.map_or(Ok(None), |adapter| adapter.new_embedding(gradients))? {
            embedding::backward_extra(&dx, &batch.token_ids, self.config.vocab_size, &gradient)?;
        }
        if let Some(places) = places {
            embedding::backward_extra(&dx, &batch.token_ids, 0, &places.embedding.view(gradients)?)?;
        }
        // Last, so that a card is handed the whole step before anyone waits for it.
        Ok(losses.of_rows()?)
    }

    /// The final norm of these rows, or of all.
    fn hidden(&self, adapter: Option<&Adapter>, batch: &Batch, rows: Option<&[u32]>) -> Result<Tensor, ModelError> {
        let angles = self.angles(&batch.bounds.positions())?;
        let attention = self.config.attention(self.embedding.dtype());
        let step = self.step(&batch.bounds, &angles, &attention, adapter)?;
        let mut stream = Stream::new(self.embed(&batch.token_ids, adapter)?);
        for (index, block) in self.blocks.iter().enumerate() {
            stream = block.forward(stream, self.layer(&step, index, rows), Recompute::Block)?.0;
        }
        Ok(stream.settle(&self.norm, step.eps)?.1)
    }

    /// The last block alone leaves out what nobody reads: those before it feed the keys of all tokens.
    fn layer<'a>(&self, step: &'a Step<'a>, index: usize, rows: Option<&'a [u32]>) -> Layer<'a> {
        Layer { step, index, rows: rows.filter(|_| index + 1 == self.blocks.len()) }
    }

    /// Token embeddings, `(T, C)`.
    fn embed(&self, token_ids: &[u32], adapter: Option<&Adapter>) -> Result<Tensor, ModelError> {
        let new = match adapter {
            Some(adapter) => adapter.new_embedding(adapter.parameters())?,
            None => None,
        };
        Ok(embedding::forward(&self.embedding, new.as_ref(), token_ids)?)
    }

    fn head<'a>(&'a self, extra: Option<&'a Tensor>) -> Head<'a> {
        Head { frozen: self.head.as_ref().unwrap_or(&self.embedding), extra }
    }

    /// Logits of normed rows, new tokens last.
    fn head_logits(&self, normed: &Tensor, adapter: Option<&Adapter>) -> Result<Tensor, ModelError> {
        let new_head = new_head(adapter)?;
        let head = self.head(new_head.as_ref());
        let logits = linear::forward(normed, head.frozen, None)?.0;
        let Some(extra) = head.extra else {
            return Ok(logits);
        };
        let extra = extra.to_dtype(head.frozen.dtype())?;
        Ok(Tensor::cat(&[logits, linear::forward(normed, &extra, None)?.0], 1)?)
    }

    fn angles(&self, positions: &[u32]) -> Result<Angles, ModelError> {
        Ok(Angles::new(positions, &self.config.rotary.inverse_frequencies, &self.embedding)?)
    }

    /// An adapter's parameters in the dtype of the activations.
    fn values_of(&self, adapter: &Adapter) -> candle_core::Result<Tensor> {
        adapter.parameters().to_dtype(activation_dtype(&self.embedding))
    }

    fn step<'a>(
        &self,
        bounds: &'a SeqBounds,
        angles: &'a Angles,
        attention: &'a codeact_ops::attention::Attention,
        adapter: Option<&'a Adapter>,
    ) -> Result<Step<'a>, ModelError> {
        let adapter = match adapter {
            Some(adapter) => Some((adapter, self.values_of(adapter)?)),
            None => None,
        };
        let gates = adapter.as_ref().map_or(Ok(Gates::new()), |(adapter, values)| self.gates(adapter, values))?;
        let (eps, weights) = (self.config.rms_norm_eps, self.embedding.dtype());
        Ok(Step { bounds, angles, attention, eps, weights, adapter, dropout: None, gates, places: None })
    }
}

/// What the row of a new token starts as, `(C,)` f32.
fn new_row(table: &Tensor, start: NewRows) -> Result<Tensor, ModelError> {
    Ok(match start {
        NewRows::Mean => table.to_dtype(DType::F32)?.mean(0)?,
        NewRows::CopyOfLast => table.get(table.dim(0)? - 1)?.to_dtype(DType::F32)?,
    })
}

/// Head rows of the adapter's new tokens.
fn new_head(adapter: Option<&Adapter>) -> Result<Option<Tensor>, ModelError> {
    match adapter {
        Some(adapter) => Ok(adapter.new_head(adapter.parameters())?),
        None => Ok(None),
    }
}
