//! One pass on a card: kernels queued over buffers that are there already.

use candle_core::{DType, Result, Tensor};
use codeact_ops::attention::Attention;
use codeact_ops::paged::{Pages, Partial, Tables};
use codeact_ops::recording::buffer;
use codeact_ops::rope::Angles;
use codeact_ops::row_lora::Slots;
use codeact_ops::{rms_norm, swiglu};

use super::adapters::{ADDED_MAX, Adapters};
use super::weights::{Projection, Weights};
use crate::adapter::Fused;
use crate::config::ModelConfig;

/// What a pass over some rows computes in.
pub(super) struct Buffers {
    /// The residual stream.
    stream: Tensor,
    /// Normed rows; after a pass those of the final norm.
    pub(super) normed: Tensor,
    qkv: Tensor,
    attended: Tensor,
    update: Tensor,
    gate_up: Tensor,
    inner: Tensor,
    /// For the narrow side of adapters.
    side: Tensor,
    angles: Angles,
}

impl Buffers {
    pub(super) fn new(rows: usize, config: &ModelConfig, ranks_max: usize, like: &Tensor) -> Result<Self> {
        let of = |columns: usize| buffer(like, (rows, columns), like.dtype());
        let attention = config.attention(like.dtype());
        Ok(Self {
            stream: of(config.hidden_size)?,
            normed: of(config.hidden_size)?,
            qkv: of(attention.qkv_width())?,
            attended: of(config.head_count * config.head_width)?,
            update: of(config.hidden_size)?,
            gate_up: of(2 * config.intermediate_size)?,
            inner: of(config.intermediate_size)?,
            side: buffer(like, rows * ranks_max, DType::F32)?,
            angles: Angles::empty(rows, config.head_width / 2, like)?,
        })
    }

    /// Bytes that so many rows take, adapters aside.
    pub(super) fn byte_count(rows: usize, config: &ModelConfig, dtype: DType) -> usize {
        let (attention, heads) = (config.attention(dtype), config.head_count * config.head_width);
        let columns = 3 * config.hidden_size + attention.qkv_width() + heads + 3 * config.intermediate_size;
        rows * (columns * dtype.size_in_bytes() + config.head_width * size_of::<f32>())
    }

    /// The first rows of all.
    pub(super) fn narrow(&self, rows: usize) -> Result<Self> {
        let of = |tensor: &Tensor| tensor.narrow(0, 0, rows);
        Ok(Self {
            stream: of(&self.stream)?,
            normed: of(&self.normed)?,
            qkv: of(&self.qkv)?,
            attended: of(&self.attended)?,
            update: of(&self.update)?,
            gate_up: of(&self.gate_up)?,
            inner: of(&self.inner)?,
            side: self.side.clone(),
            angles: self.angles.narrow(rows)?,
        })
    }
}

/// What a pass reads beside its rows.
pub(super) struct Model<'a> {
    pub(super) config: &'a ModelConfig,
    pub(super) weights: &'a Weights,
    /// Of each layer.
    pub(super) pages: &'a [Pages],
    pub(super) partial: &'a Partial,
    pub(super) inverse_frequencies: &'a Tensor,
    pub(super) slots: &'a Slots,
    /// For products of many rows.
    pub(super) expanded: Option<&'a Tensor>,
}

/// The rows of a pass.
pub(super) struct Rows<'a> {
    /// Token ids.
    pub(super) ids: &'a Tensor,
    /// Slots of adapters.
    pub(super) slots: &'a Tensor,
    /// The most inner rows that any row's adapter has on one input; 0 when none has an adapter.
    pub(super) ranks: usize,
    pub(super) tables: &'a Tables,
    pub(super) buffers: &'a Buffers,
}

impl Model<'_> {
    /// Queues all layers; afterwards `normed` holds the final norm of every row.
    pub(super) fn run(&self, rows: &Rows<'_>) -> Result<()> {
        let Buffers { stream, normed, qkv, attended, update, gate_up, inner, angles, .. } = rows.buffers;
        let (eps, attention): (f32, Attention) = (self.config.rms_norm_eps, self.config.attention(stream.dtype()));
        angles.compute(&rows.tables.positions, self.inverse_frequencies)?;
        self.slots.embed(stream, &self.weights.embedding, rows.ids, rows.slots)?;
        let mut delta = None;
        for (index, (layer, pages)) in self.weights.layers.iter().zip(self.pages).enumerate() {
            let project = |fused: Fused, x: &Tensor, y: &Tensor| {
                self.multiply(&layer.projections[fused as usize], x, y)?;
                match rows.ranks {
                    0 => Ok(()),
                    ranks => {
                        let slots = (rows.slots, ranks);
                        self.slots.add(Adapters::weight(index, fused), x, y, slots, &rows.buffers.side)
                    }
                }
            };
            rms_norm::advance(stream, delta, &layer.attention_norm, eps, normed)?;
            project(Fused::Qkv, normed, qkv)?;
            pages.write(qkv, angles, &rows.tables.slots, &attention)?;
            pages.attend(attended, qkv, rows.tables, self.partial, &attention)?;
            project(Fused::Output, attended, update)?;
            rms_norm::advance(stream, Some(update), &layer.mlp_norm, eps, normed)?;
            project(Fused::GateUp, normed, gate_up)?;
            swiglu::forward_into(gate_up, inner)?;
            project(Fused::Down, inner, update)?;
            delta = Some(update);
        }
        rms_norm::advance(stream, delta, &self.weights.norm, eps, normed)
    }

    /// Queues the logits of normed rows into a flat buffer. Returns where they are: `(rows, V)`, with places for tokens of
    /// adapters behind when any row has one.
    pub(super) fn head(&self, x: &Tensor, slots: &Tensor, adapted: bool, logits: &Tensor) -> Result<Tensor> {
        let (rows, vocab_size) = (x.dim(0)?, self.config.vocab_size);
        let logits = self.logits(rows, adapted, logits)?;
        self.multiply(&self.weights.head, x, &logits.narrow(1, 0, vocab_size)?)?;
        if adapted {
            self.slots.head(&logits, vocab_size, x, slots)?;
        }
        Ok(logits)
    }

    /// Where the logits of so many rows are in a flat buffer.
    pub(super) fn logits(&self, rows: usize, adapted: bool, buffer: &Tensor) -> Result<Tensor> {
        let columns = self.config.vocab_size + if adapted { ADDED_MAX } else { 0 };
        buffer.narrow(0, 0, rows * columns)?.reshape((rows, columns))
    }

    fn multiply(&self, projection: &Projection, x: &Tensor, y: &Tensor) -> Result<()> {
        for (column, part) in &projection.parts {
            part.multiply(x, &y.narrow(1, *column, part.dims()?.0)?, self.expanded)?;
        }
        Ok(())
    }
}
