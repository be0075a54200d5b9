//! LoRA pairs in the layout of passes.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use candle_core::{Device, Tensor};
use codeact_cpu::{Format, Isa, Matrix, Part};

use crate::ModelError;
use crate::adapter::{Adapter, Fused};
use crate::config::ModelConfig;

/// An adapter that requests may name. It is not part of a model: load it beside one, hand it to its passes, drop it.
pub struct ServedAdapter {
    /// Differs from that of every other adapter this process has loaded, the same folder loaded again included.
    id: u64,
    /// For each layer the pairs on each of its four matrices.
    layers: Vec<[Option<Pairs>; 4]>,
    new_tokens: Option<NewTokens>,
    byte_count: usize,
}

/// The pairs on one matrix: `y += s (x Aᵀ) B`.
pub(super) struct Pairs {
    /// The `A` of `n` pairs under each other, `(n R, in)`.
    pub(super) a: Vec<f32>,
    /// For each pair the first output column that it adds to, and `Bᵀ`, `(R, columns)`.
    pub(super) b: Vec<(usize, Vec<f32>)>,
    pub(super) rank: usize,
    pub(super) scale: f32,
}

/// Rows for tokens that the base model does not have.
pub(super) struct NewTokens {
    count: usize,
    /// `(N, C)`.
    embedding: Vec<f32>,
    /// `(N, C)`.
    head: Matrix,
}

impl ServedAdapter {
    /// Reads a PEFT folder for a model of this shape.
    ///
    /// # Errors
    /// As [`Adapter::load`].
    pub fn load(folder: &Path, model: &ModelConfig) -> Result<Self, ModelError> {
        let adapter = Adapter::load(folder, model, &Device::Cpu)?;
        let flat = adapter.parameters();
        let mut layers = Vec::with_capacity(model.layer_count);
        for layer in 0..model.layer_count {
            let mut pairs = [const { None }; 4];
            for fused in Fused::ALL {
                let Some(lora) = adapter.lora(flat, layer, fused)? else { continue };
                let b = lora.b.iter().map(|(column, b)| Ok((*column, values(b)?)));
                let b = b.collect::<candle_core::Result<_>>()?;
                let rank = adapter.config().rank;
                pairs[fused as usize] = Some(Pairs { a: values(&lora.a)?, b, rank, scale: lora.scale });
            }
            layers.push(pairs);
        }
        let new_tokens = match (adapter.new_embedding(flat)?, adapter.new_head(flat)?) {
            (Some(embedding), Some(head)) => Some(NewTokens::new(&values(&embedding)?, &values(&head)?, model)?),
            _ => None,
        };
        static LOADED: AtomicU64 = AtomicU64::new(1);
        let id = LOADED.fetch_add(1, Ordering::Relaxed);
        Ok(Self { id, layers, new_tokens, byte_count: adapter.parameter_count() * size_of::<f32>() })
    }

    /// Names this loading of the adapter, as long as the process lives.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Tokens this adapter adds to the base model's vocabulary.
    pub fn new_token_count(&self) -> usize {
        self.new_tokens.as_ref().map_or(0, |new| new.count)
    }

    /// Bytes held.
    pub fn byte_count(&self) -> usize {
        self.byte_count
    }

    pub(super) fn pairs(&self, layer: usize, fused: Fused) -> Option<&Pairs> {
        self.layers[layer][fused as usize].as_ref()
    }

    pub(super) fn new_tokens(&self) -> Option<&NewTokens> {
        self.new_tokens.as_ref()
    }
}

impl NewTokens {
    fn new(embedding: &[f32], head: &[f32], model: &ModelConfig) -> Result<Self, ModelError> {
        let columns = model.hidden_size;
        let (rows, bytes) = (head.len() / columns, head.iter().flat_map(|value| value.to_le_bytes()));
        let bytes: Vec<u8> = bytes.collect();
        let part = Part { format: Format::F32, bytes: &bytes, rows, columns, row_order: None };
        let head = Matrix::pack(&[part], Isa::best())
            .map_err(|source| ModelError::Pack { name: "the adapter's new tokens".to_owned(), source })?;
        Ok(Self { count: rows, embedding: embedding.to_vec(), head })
    }

    /// Embedding of the `index`th new token, `(C,)`.
    pub(super) fn embedding(&self, index: usize) -> &[f32] {
        let columns = self.embedding.len() / self.count;
        &self.embedding[index * columns..][..columns]
    }

    pub(super) fn head(&self) -> &Matrix {
        &self.head
    }
}

fn values(tensor: &Tensor) -> candle_core::Result<Vec<f32>> {
    tensor.contiguous()?.flatten_all()?.to_vec1()
}
