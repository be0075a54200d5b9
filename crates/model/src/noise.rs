//! Random numbers of training: dropout in front of LoRA pairs (PEFT's `lora_dropout`), and noise on embeddings (NEFTune).

use candle_core::Tensor;
use codeact_ops::SeqBounds;
use codeact_ops::noise::{Dropout, EMBEDDING_STREAM, Key, Rows, add_uniform};

use crate::ModelError;
use crate::adapter::{Adapter, Fused};
use crate::block::Layer;

/// Which random numbers a batch draws. They depend on nothing else: not on how documents are packed or split into passes,
/// nor on what is recomputed.
#[derive(Debug, Clone, PartialEq)]
pub struct Noise {
    /// Seed of the run.
    pub seed: u64,
    /// The optimizer step, counted from 1.
    pub step: u64,
    /// Names each sequence of the batch; those of one name draw the same numbers in this step.
    pub documents: Vec<u32>,
    /// Embeddings get uniform noise within `alpha / sqrt(L C)` on both sides, for a sequence of `L` tokens and a width of
    /// `C`; 0 for none.
    ///
    /// Source: Jain et al. 2023, NEFTune, algorithm 1. `L` is the sequence's own length, as in the paper's code;
    /// transformers takes the padded length of the batch, which is the same where nothing is padded.
    pub neftune_alpha: f64,
}

impl Noise {
    fn key(&self) -> Key {
        Key::new(self.seed, self.step)
    }

    /// Document and position of every token.
    fn rows(&self, bounds: &SeqBounds, like: &Tensor) -> Result<Rows, ModelError> {
        let lengths = lengths(bounds);
        if lengths.len() != self.documents.len() {
            let (names, count) = (self.documents.len(), lengths.len());
            return Err(ModelError::Batch(format!("random numbers for {names} documents in a batch of {count}")));
        }
        let of_document = |(document, length): (u32, usize)| (0..length as u32).map(move |at| [document, at]);
        Ok(Rows::new(self.documents.iter().copied().zip(lengths).flat_map(of_document).collect(), like)?)
    }

    /// Adds the noise to embeddings, `(T, C)`, in place.
    pub(crate) fn add_to_embeddings(&self, embedded: &Tensor, bounds: &SeqBounds) -> Result<(), ModelError> {
        if self.neftune_alpha == 0.0 {
            return Ok(());
        }
        let (rows, width) = (self.rows(bounds, embedded)?, embedded.dim(1)?);
        let magnitude = |length: usize| (self.neftune_alpha / ((length * width) as f64).sqrt()) as f32;
        let lengths = lengths(bounds).into_iter();
        let magnitudes: Vec<f32> = lengths.flat_map(|length| std::iter::repeat_n(magnitude(length), length)).collect();
        Ok(add_uniform(embedded, &rows, &magnitudes, self.key(), EMBEDDING_STREAM)?)
    }

    /// What the adapter drops, if anything. `picked`: the rows that the last block works on.
    pub(crate) fn dropout(
        &self,
        adapter: &Adapter,
        bounds: &SeqBounds,
        picked: &[u32],
        like: &Tensor,
    ) -> Result<Option<StepDropout>, ModelError> {
        let probability = adapter.config().dropout;
        if probability == 0.0 {
            return Ok(None);
        }
        let all = self.rows(bounds, like)?;
        let picked = all.pick(picked, like)?;
        Ok(Some(StepDropout { probability, key: self.key(), all, picked }))
    }
}

fn lengths(bounds: &SeqBounds) -> Vec<usize> {
    bounds.ranges().map(|range| range.len()).collect()
}

/// Dropout of one pass.
pub(crate) struct StepDropout {
    probability: f64,
    key: Key,
    all: Rows,
    picked: Rows,
}

impl StepDropout {
    /// That of the pairs on one fused weight.
    pub(crate) fn of(&self, adapter: &Adapter, layer: Layer<'_>, fused: Fused) -> Dropout {
        // Attention needs keys of all tokens; behind it the last block works on some.
        let rows = if fused == Fused::Qkv || layer.rows.is_none() { &self.all } else { &self.picked };
        Dropout::new(self.probability, self.key, rows.clone(), adapter.streams(layer.index, fused))
    }
}
