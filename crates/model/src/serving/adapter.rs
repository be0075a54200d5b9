//! LoRA pairs in the layout of passes.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use candle_core::{Device, Tensor};
use codeact_cpu::{Format, Isa, Lora, Matrix, Part};
use codeact_ops::linear::Up;

use crate::ModelError;
use crate::adapter::{Adapter, Fused};
use crate::block::Gates;
use crate::config::ModelConfig;
use crate::decoder::Decoder;

/// An adapter that requests may name. It is not part of a model: load it beside one, hand it to its passes, drop it.
pub struct ServedAdapter {
    /// Differs from that of every other adapter this process has loaded, the same folder loaded again included.
    id: u64,
    /// For each layer the pairs on each of its four matrices.
    layers: Vec<[Vec<Pair>; 4]>,
    new_tokens: Option<NewTokens>,
    byte_count: usize,
}

/// A pair on some of the outputs of a matrix: `y += s (x Aᵀ) Bᵀ`, and with DoRA `y *= g` after it.
struct Pair {
    /// `(R, in)`.
    a: Vec<f32>,
    /// `Bᵀ`, `(R, columns)`.
    b: Vec<f32>,
    /// The first output that it adds to.
    column: usize,
    rank: usize,
    scale: f32,
    /// DoRA's `g`, `(columns,)`.
    factors: Option<Vec<f32>>,
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
    /// As [`Adapter::load`]; when it is one of DoRA, whose gates follow from weights that are not here.
    pub fn load(folder: &Path, model: &ModelConfig) -> Result<Self, ModelError> {
        let adapter = Adapter::load(folder, model, &Device::Cpu)?;
        if adapter.config().dora {
            let what = "it is an adapter of DoRA (`use_dora`), which is served merged, not beside a base\nhint: \
                        `codeact-train merge --adapter DIR --out MERGED`, then serve `MERGED`";
            return Err(ModelError::weights(folder, what));
        }
        Self::new(&adapter, model, &Gates::new())
    }

    /// A copy of an adapter of this decoder, with the values that it has now, wherever it lies.
    ///
    /// # Errors
    /// When the device does not give them.
    pub fn of(adapter: &Adapter, decoder: &Decoder) -> Result<Self, ModelError> {
        Self::new(adapter, decoder.config(), &decoder.gates_of(adapter)?)
    }

    fn new(adapter: &Adapter, model: &ModelConfig, gates: &Gates) -> Result<Self, ModelError> {
        let flat = &adapter.parameters().to_device(&Device::Cpu)?;
        let mut layers = Vec::with_capacity(model.layer_count);
        for layer in 0..model.layer_count {
            let mut pairs = [const { Vec::new() }; 4];
            for fused in Fused::ALL {
                let Some(lora) = adapter.lora(flat, layer, fused)? else { continue };
                let gate = gates.get(layer).and_then(|gates| gates[fused as usize].as_ref());
                let mut next = 0;
                for Up { column, b, scale } in lora.b {
                    let (rank, count) = b.dims2()?;
                    let a = values(&lora.a.narrow(0, next, rank)?)?;
                    let factors = gate.map(|gate| values(&gate.factors.narrow(0, column, count)?)).transpose()?;
                    pairs[fused as usize].push(Pair { a, b: values(&b)?, column, rank, scale, factors });
                    next += rank;
                }
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

    /// The most inner rows that the pairs on one matrix have together.
    pub(super) fn ranks_max(&self) -> usize {
        let ranks = |pairs: &Vec<Pair>| pairs.iter().map(|pair| pair.rank).sum();
        self.layers.iter().flatten().map(ranks).max().unwrap_or(0)
    }

    /// The pairs on a matrix, each with the first output that it adds to.
    pub(super) fn pairs(&self, layer: usize, fused: Fused) -> impl Iterator<Item = (usize, Lora<'_>)> {
        let pairs = self.layers[layer][fused as usize].iter();
        pairs.map(|pair| (pair.column, Lora { a: &pair.a, b: &pair.b, rank: pair.rank, scale: pair.scale }))
    }

    /// DoRA's factors on outputs of a matrix, each with the first output that they are for.
    pub(super) fn factors(&self, layer: usize, fused: Fused) -> impl Iterator<Item = (usize, &[f32])> {
        let pairs = self.layers[layer][fused as usize].iter();
        pairs.filter_map(|pair| Some((pair.column, pair.factors.as_deref()?)))
    }

    /// Whether it is one of DoRA.
    pub(super) fn has_factors(&self) -> bool {
        self.layers.iter().flatten().flatten().any(|pair| pair.factors.is_some())
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
