//! The weights of a served model on a card.

use candle_core::{DType, Device, Tensor};
use codeact_cpu::Format;
use codeact_ops::packed::{Block, Matrix, Packed};
use codeact_ops::weight::Weight;

use super::blocks::{self, mixed};
use crate::ModelError;
use crate::adapter::Fused;
use crate::config::ModelConfig;
use crate::decoder::Decoder;
use crate::serving::ServedWeights;
use crate::serving::projections::recoded;
use crate::serving::tensors::{Stored, Tensors};

/// Projections that share an input: matrices side by side, each with the first column of its outputs.
pub(super) struct Projection {
    pub(super) parts: Vec<(usize, Matrix)>,
}

/// One block of the decoder.
pub(super) struct Layer {
    pub(super) attention_norm: Tensor,
    pub(super) mlp_norm: Tensor,
    /// By [`Fused`].
    pub(super) projections: [Projection; 4],
}

/// All weights.
pub(super) struct Weights {
    /// `(V, C)`.
    pub(super) embedding: Tensor,
    pub(super) layers: Vec<Layer>,
    pub(super) norm: Tensor,
    pub(super) head: Projection,
    /// How they lie, what takes most bytes first.
    pub(super) formats: Vec<&'static str>,
}

/// Reads tensors, or makes them up, and puts them on the card.
pub(super) struct Loading<'a> {
    /// `None` for random weights (deviation 0.02, norms 1).
    pub(super) tensors: Option<&'a Tensors>,
    pub(super) weights: ServedWeights,
    /// Of activations, and of weights that are not packed.
    pub(super) dtype: DType,
    pub(super) device: &'a Device,
}

impl Loading<'_> {
    pub(super) fn all(&self, config: &ModelConfig) -> Result<Weights, ModelError> {
        let shape = [config.vocab_size, config.hidden_size];
        let embedding = match self.tensors {
            Some(tensors) => self.dense(&tensors.get("model.embed_tokens.weight", &shape)?, shape)?,
            None => self.random(shape)?,
        };
        let name = if config.tie_word_embeddings { "model.embed_tokens.weight" } else { "lm_head.weight" };
        let mut head = self.projection(&[name.to_owned()], &[shape])?;
        if let (true, [(_, Matrix::Dense(rows))]) = (config.tie_word_embeddings, &mut head.parts[..]) {
            // Once in memory.
            *rows = embedding.clone();
        }
        let layers = (0..config.layer_count).map(|index| self.layer(config, index)).collect::<Result<_, _>>()?;
        let norm = self.norm("model.norm.weight", config.hidden_size)?;
        let mut weights = Weights { embedding, layers, norm, head, formats: Vec::new() };
        weights.formats = weights.formats_by_size();
        Ok(weights)
    }

    fn layer(&self, config: &ModelConfig, index: usize) -> Result<Layer, ModelError> {
        let norm = |name: &str| self.norm(&format!("model.layers.{index}.{name}.weight"), config.hidden_size);
        let load = |fused: Fused| {
            let targets = fused.targets().iter();
            let names: Vec<String> =
                targets.clone().map(|target| format!("model.layers.{index}.{}.weight", target.module())).collect();
            let shape = |(c_in, c_out): (usize, usize)| [c_out, c_in];
            let shapes: Vec<[usize; 2]> = targets.map(|target| shape(target.widths(config))).collect();
            self.projection(&names, &shapes)
        };
        Ok(Layer {
            attention_norm: norm("input_layernorm")?,
            mlp_norm: norm("post_attention_layernorm")?,
            projections: [load(Fused::Qkv)?, load(Fused::Output)?, load(Fused::GateUp)?, load(Fused::Down)?],
        })
    }

    fn norm(&self, name: &str, width: usize) -> Result<Tensor, ModelError> {
        let values = self.tensors.map_or_else(|| Ok(vec![1.0; width]), |tensors| tensors.norm(name, width))?;
        Ok(Tensor::from_vec(values, width, self.device)?.to_dtype(self.dtype)?)
    }

    /// Neighbours that lie the same way become one matrix.
    fn projection(&self, names: &[String], shapes: &[[usize; 2]]) -> Result<Projection, ModelError> {
        let Some(tensors) = self.tensors else {
            return Ok(Projection { parts: vec![(0, self.random_matrix(names, shapes)?)] });
        };
        let mut stored = Vec::new();
        for (name, shape) in names.iter().zip(shapes) {
            let tensor = tensors.get(name, shape)?;
            let is_table = !name.contains(".layers.");
            stored.push(match self.weights.format(shape[1], is_table) {
                Some(format) if format != tensor.format => recoded(&tensor, format, shape[1]),
                _ => tensor,
            });
        }
        let (mut parts, mut column, mut first) = (Vec::new(), 0, 0);
        while first < stored.len() {
            let alike = stored[first..].iter().take_while(|tensor| tensor.format == stored[first].format).count();
            let last = first + alike;
            parts.push((column, self.matrix(&stored[first..last], &shapes[first..last])?));
            column += shapes[first..last].iter().map(|shape| shape[0]).sum::<usize>();
            first = last;
        }
        Ok(Projection { parts })
    }

    /// Matrices of one format and width under each other.
    fn matrix(&self, stored: &[Stored<'_>], shapes: &[[usize; 2]]) -> Result<Matrix, ModelError> {
        let (format, columns) = (stored[0].format, shapes[0][1]);
        let packing = blocks::packing(format).filter(|_| self.dtype == DType::BF16);
        let Some(packing) = packing.filter(|_| columns.is_multiple_of(codeact_ops::packed::BLOCK)) else {
            let parts = stored.iter().zip(shapes).map(|(tensor, shape)| self.dense(tensor, *shape));
            let parts = parts.collect::<Result<Vec<_>, _>>()?;
            return Ok(Matrix::Dense(if parts.len() == 1 { parts[0].clone() } else { Tensor::cat(&parts, 0)? }));
        };
        let rows: usize = shapes.iter().map(|shape| shape[0]).sum();
        let read = |mut row: usize, blocks: &mut [Block]| {
            let mut parts = stored.iter().zip(shapes);
            let (tensor, _) = parts
                .find(|(_, shape)| {
                    let is_here = row < shape[0];
                    row -= if is_here { 0 } else { shape[0] };
                    is_here
                })
                .expect("the row is one of theirs");
            blocks::read_row(format, tensor.row(row, columns), blocks);
        };
        let like = Tensor::zeros(1, self.dtype, self.device)?;
        Ok(Matrix::Packed(Packed::new(packing, (rows, columns), &read, &like)?))
    }

    /// As [`Loading::projection`] out of nothing, all its matrices in one format.
    fn random_matrix(&self, names: &[String], shapes: &[[usize; 2]]) -> Result<Matrix, ModelError> {
        let (rows, columns) = (shapes.iter().map(|shape| shape[0]).sum::<usize>(), shapes[0][1]);
        let is_table = names.iter().any(|name| !name.contains(".layers."));
        let format = self.weights.format(columns, is_table);
        let Some(packing) = format.and_then(blocks::packing).filter(|_| self.dtype == DType::BF16) else {
            return Ok(Matrix::Dense(self.random([rows, columns])?));
        };
        let seed = names.iter().flat_map(|name| name.bytes()).fold(1, |seed, byte| mixed(seed ^ u64::from(byte)));
        let read = |row: usize, blocks: &mut [Block]| blocks::random_row(packing, seed ^ mixed(row as u64), blocks);
        let like = Tensor::zeros(1, self.dtype, self.device)?;
        Ok(Matrix::Packed(Packed::new(packing, (rows, columns), &read, &like)?))
    }

    fn random(&self, [rows, columns]: [usize; 2]) -> Result<Tensor, ModelError> {
        Ok(Tensor::randn(0f32, 0.02, (rows, columns), self.device)?.to_dtype(self.dtype)?)
    }

    /// A matrix in the dtype of the activations.
    fn dense(&self, stored: &Stored<'_>, [rows, columns]: [usize; 2]) -> Result<Tensor, ModelError> {
        let (format, dtype) = (stored.format, self.dtype);
        // Halves go over as they are.
        let raw = match format {
            Format::Bf16 => Some(DType::BF16),
            Format::F16 => Some(DType::F16),
            Format::F32 => Some(DType::F32),
            _ => None,
        };
        if let (Some(raw), None) = (raw, &stored.row_order) {
            let tensor = Tensor::from_raw_buffer(&stored.bytes, raw, &[rows, columns], self.device)?;
            return Ok(tensor.to_dtype(dtype)?);
        }
        let mut values = vec![0.0; rows * columns];
        for (row, values) in values.chunks_exact_mut(columns).enumerate() {
            format.decode_row(stored.row(row, columns), values);
        }
        Ok(Tensor::from_vec(values, (rows, columns), self.device)?.to_dtype(dtype)?)
    }
}

impl Weights {
    /// Those of a decoder on the card: the same memory.
    pub(super) fn of_decoder(decoder: &Decoder) -> Self {
        let (embedding, blocks, norm, head) = decoder.parts();
        let projection = |weight: Weight| {
            let matrix = match weight {
                Weight::Dense(values) => Matrix::Dense(values),
                Weight::Nf4(parts) => Matrix::Nf4(parts),
            };
            Projection { parts: vec![(0, matrix)] }
        };
        let layers = blocks.iter().map(|block| {
            let [attention_norm, mlp_norm] = block.norms().map(Tensor::clone);
            let projections = Fused::ALL.map(|fused| projection(block.projection(fused).clone()));
            Layer { attention_norm, mlp_norm, projections }
        });
        let head = projection(head.unwrap_or(embedding).clone().into());
        let layers = layers.collect();
        let mut weights = Self { embedding: embedding.clone(), layers, norm: norm.clone(), head, formats: Vec::new() };
        weights.formats = weights.formats_by_size();
        weights
    }

    fn matrices(&self) -> impl Iterator<Item = &Matrix> {
        let projections = self.layers.iter().flat_map(|layer| &layer.projections).chain([&self.head]);
        projections.flat_map(|projection| projection.parts.iter().map(|(_, matrix)| matrix))
    }

    /// Bytes of all weights that every token reads: all but the embedding.
    pub(super) fn token_bytes(&self) -> usize {
        self.matrices().map(Matrix::byte_count).sum()
    }

    /// Bytes of all projections, the head and the embedding; once where they are one.
    pub(super) fn byte_count(&self) -> usize {
        let is_shared = matches!(&self.head.parts[..], [(_, Matrix::Dense(rows))] if rows.id() == self.embedding.id());
        let own = self.embedding.elem_count() * self.embedding.dtype().size_in_bytes();
        self.token_bytes() + if is_shared { 0 } else { own }
    }

    /// Weights of the projections and the head.
    pub(super) fn weight_count(&self) -> usize {
        self.matrices().filter_map(|matrix| matrix.dims().ok()).map(|(rows, columns)| rows * columns).sum()
    }

    fn formats_by_size(&self) -> Vec<&'static str> {
        let mut formats: Vec<(&'static str, usize)> = Vec::new();
        for matrix in self.matrices() {
            match formats.iter_mut().find(|(name, _)| *name == matrix.format_name()) {
                Some((_, bytes)) => *bytes += matrix.byte_count(),
                None => formats.push((matrix.format_name(), matrix.byte_count())),
            }
        }
        formats.sort_by_key(|(name, bytes)| (std::cmp::Reverse(*bytes), *name));
        formats.into_iter().map(|(name, _)| name).collect()
    }
}

impl Stored<'_> {
    /// The bytes of row `row` of the matrix.
    fn row(&self, row: usize, columns: usize) -> &[u8] {
        let row_bytes = self.format.row_bytes(columns).expect("files hold whole rows");
        let at = self.row_order.as_ref().map_or(row, |order| order[row] as usize);
        &self.bytes[at * row_bytes..][..row_bytes]
    }
}

impl Projection {
    /// Values that an expanded part takes at most.
    pub(super) fn expanded_count(&self) -> usize {
        self.parts.iter().map(|(_, part)| part.expanded_count()).max().unwrap_or(0)
    }
}
