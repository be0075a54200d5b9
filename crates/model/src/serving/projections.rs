//! The packed weights of a layer.

use std::collections::HashMap;

use codeact_cpu::{Format, Isa, Matrix, Part};

use super::options::ServedWeights;
use super::tensors::{Stored, Table, Tensors};
use crate::ModelError;
use crate::adapter::Fused;
use crate::config::ModelConfig;

/// One block of the decoder. Projections that share an input are one matrix.
pub(super) struct Layer {
    /// Weight of the norm before attention, `(C,)`.
    pub(super) attention_norm: Vec<f32>,
    /// Weight of the norm before the MLP, `(C,)`.
    pub(super) mlp_norm: Vec<f32>,
    projections: [Matrix; 4],
}

impl Layer {
    pub(super) fn load(loading: &mut Loading<'_>, config: &ModelConfig, index: usize) -> Result<Self, ModelError> {
        let norm =
            |name: &str| loading.tensors.norm(&format!("model.layers.{index}.{name}.weight"), config.hidden_size);
        let (attention_norm, mlp_norm) = (norm("input_layernorm")?, norm("post_attention_layernorm")?);
        let mut load = |fused: Fused| {
            let targets = fused.targets();
            let names: Vec<String> =
                targets.iter().map(|target| format!("model.layers.{index}.{}.weight", target.module())).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let shapes: Vec<[usize; 2]> = targets
                .iter()
                .map(|target| {
                    let (c_in, c_out) = target.widths(config);
                    [c_out, c_in]
                })
                .collect();
            loading.matrix(&names, &shapes)
        };
        let projections = [load(Fused::Qkv)?, load(Fused::Output)?, load(Fused::GateUp)?, load(Fused::Down)?];
        Ok(Self { attention_norm, mlp_norm, projections })
    }

    /// * `projections`: by [`Fused`].
    pub(super) fn new([attention_norm, mlp_norm]: [Vec<f32>; 2], projections: [Matrix; 4]) -> Self {
        Self { attention_norm, mlp_norm, projections }
    }

    pub(super) fn projection(&self, fused: Fused) -> &Matrix {
        &self.projections[fused as usize]
    }
}

/// Packs weights and counts what they take.
pub(super) struct Loading<'a> {
    tensors: &'a Tensors,
    weights: ServedWeights,
    isa: Isa,
    bytes: HashMap<Format, usize>,
    weight_count: usize,
}

impl<'a> Loading<'a> {
    pub(super) fn new(tensors: &'a Tensors, weights: ServedWeights, isa: Isa) -> Self {
        Self { tensors, weights, isa, bytes: HashMap::new(), weight_count: 0 }
    }

    /// Matrices under each other, packed.
    pub(super) fn matrix(&mut self, names: &[&str], shapes: &[[usize; 2]]) -> Result<Matrix, ModelError> {
        let mut stored = Vec::with_capacity(names.len());
        for (name, [rows, columns]) in names.iter().zip(shapes) {
            let is_table = !name.contains(".layers.");
            let tensor = self.tensors.get(name, &[*rows, *columns])?;
            let tensor = match self.weights.format(*columns, is_table) {
                Some(format) if format != tensor.format => recoded(&tensor, format, *columns),
                _ => tensor,
            };
            *self.bytes.entry(tensor.format).or_default() += tensor.bytes.len();
            self.weight_count += rows * columns;
            stored.push(tensor);
        }
        let parts: Vec<Part<'_>> = stored
            .iter()
            .zip(shapes)
            .map(|(tensor, [rows, columns])| Part {
                format: tensor.format,
                bytes: &tensor.bytes,
                rows: *rows,
                columns: *columns,
                row_order: tensor.row_order.as_deref(),
            })
            .collect();
        Matrix::pack(&parts, self.isa).map_err(|source| ModelError::Pack { name: names.join(", "), source })
    }

    /// A matrix of which single rows are read. It takes fewer bits where weights do.
    pub(super) fn table(&self, name: &str, [rows, columns]: [usize; 2]) -> Result<Table, ModelError> {
        let stored = self.tensors.get(name, &[rows, columns])?;
        let bits = |format: Format| format.block_bytes() * 8 / format.block_len();
        let stored = match self.weights.format(columns, true) {
            Some(format) if bits(format) < bits(stored.format) => recoded(&stored, format, columns),
            _ => stored,
        };
        Ok(Table::new(stored, rows))
    }

    /// Bytes packed so far.
    pub(super) fn byte_count(&self) -> usize {
        self.bytes.values().sum()
    }

    /// Weights packed so far.
    pub(super) fn weight_count(&self) -> usize {
        self.weight_count
    }

    /// Whether most weights are f32.
    pub(super) fn is_f32(&self) -> bool {
        self.formats().first() == Some(&Format::F32.name())
    }

    /// Formats packed so far, the one with most bytes first.
    pub(super) fn formats(&self) -> Vec<&'static str> {
        let mut formats: Vec<(&Format, &usize)> = self.bytes.iter().collect();
        formats.sort_by_key(|(format, bytes)| (std::cmp::Reverse(**bytes), format.name()));
        formats.into_iter().map(|(format, _)| format.name()).collect()
    }
}

/// The same matrix in another format, on all processors: finding scales for a block takes time.
pub(super) fn recoded<'a>(tensor: &Stored<'_>, format: Format, columns: usize) -> Stored<'a> {
    let row_bytes = tensor.format.row_bytes(columns).expect("files hold whole rows");
    let rows = tensor.bytes.len() / row_bytes;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let recode = |part: &[u8]| {
        let (mut bytes, mut values) = (Vec::new(), vec![0.0; columns]);
        for row in part.chunks_exact(row_bytes) {
            tensor.format.decode_row(row, &mut values);
            format.encode_row(&values, &mut bytes);
        }
        bytes
    };
    let parts = std::thread::scope(|scope| {
        let parts = tensor.bytes.chunks(rows.div_ceil(threads).max(1) * row_bytes);
        let threads: Vec<_> = parts.map(|part| scope.spawn(|| recode(part))).collect();
        threads.into_iter().map(|thread| thread.join().expect("encoding does not panic")).collect::<Vec<_>>()
    });
    Stored { format, bytes: parts.concat().into(), row_order: tensor.row_order.clone() }
}
