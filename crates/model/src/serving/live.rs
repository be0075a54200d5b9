//! The model in training, served out of the memory it is trained in: no reload and no second copy.
//!
//! Base weights are frozen, so that sharing them is safe; what training changes is the adapter, and a
//! [`ServedAdapter`](super::ServedAdapter) is made of it for the moment ([`super::ServedAdapter::of`]).

use std::sync::Arc;

use candle_core::{CpuStorage, DType, Storage, Tensor, bail};
use codeact_cpu::paged::{KvPool, PAGE_TOKENS};
use codeact_cpu::{Format, Isa, Lender, LentRows, Matrix};
use codeact_ops::weight::Weight;

use super::projections::Layer;
use super::scratch::Scratch;
use super::{Compute, Embedding, Facts, ServedModel, ServingOptions};
use crate::ModelError;
use crate::adapter::Fused;
use crate::decoder::Decoder;

impl ServedModel {
    /// A decoder on the CPU, served as its weights lie: logits have the bits of the same weights packed. It keeps them
    /// alive.
    ///
    /// * `options`: how it computes; how weights are kept is the decoder's affair.
    ///
    /// # Errors
    /// When the decoder is on a card, or the memory for pages holds less than one sequence of 256 tokens.
    ///
    /// # Panics
    /// When this processor does not have the instructions asked for.
    pub fn of_decoder(decoder: &Decoder, options: &ServingOptions) -> Result<Self, ModelError> {
        let (config, (table, blocks, norm, head)) = (decoder.config().clone(), decoder.parts());
        let team = options.team();
        let mut loans = Loans { isa: team.isa(), bytes: [0; 3], weight_count: 0 };
        let (head, embedding) = match head {
            None => (loans.matrix(table.clone().into(), table.dims2()?)?, Embedding::Head),
            Some(head) => {
                let head = loans.matrix(head.clone().into(), head.dims2()?)?;
                (head, Embedding::Lent(loans.uncounted(table.clone().into(), table.dims2()?)?))
            }
        };
        let mut layers = Vec::with_capacity(blocks.len());
        for block in blocks {
            let mut lend = |fused: Fused| {
                let widths = fused.targets().iter().map(|target| target.widths(&config));
                let shape = widths.fold((0, 0), |(rows, _), (c_in, c_out)| (rows + c_out, c_in));
                loans.matrix(block.projection(fused).clone(), shape)
            };
            let projections = [lend(Fused::Qkv)?, lend(Fused::Output)?, lend(Fused::GateUp)?, lend(Fused::Down)?];
            let [attention, mlp] = block.norms();
            layers.push(Layer::new([values(attention)?, values(mlp)?], projections));
        }
        let kv = options.kv_format(table.dtype() == DType::F32);
        let pages = options.page_count(&config, kv)?;
        let page_bytes = KvPool::page_bytes(config.layer_count, config.kv_head_count, config.head_width, kv);
        let pool = KvPool::new(config.layer_count, config.kv_head_count, config.head_width, pages, kv);
        let own = if let Embedding::Lent(table) = &embedding { table.byte_count() } else { 0 };
        let token_bytes = loans.bytes.iter().sum();
        let facts = Facts {
            weight_bytes: token_bytes + own,
            token_bytes,
            weight_count: loans.weight_count,
            formats: loans.formats(),
            page_bytes: pages * page_bytes,
            kv_bytes_per_token: page_bytes / PAGE_TOKENS,
            on: Compute::Processor { threads: team.thread_count(), isa: team.isa() },
        };
        let (norm, scratch) = (values(norm)?, Scratch::default());
        Ok(Self { embedding, layers, norm, head, pool, team, facts, scratch, config })
    }
}

/// Matrices of the decoder, and what they come to.
struct Loans {
    isa: Isa,
    /// In F32, BF16 and NF4.
    bytes: [usize; 3],
    weight_count: usize,
}

impl Loans {
    fn matrix(&mut self, weight: Weight, shape: (usize, usize)) -> Result<Matrix, ModelError> {
        let (kind, bytes) = match &weight {
            Weight::Dense(values) if values.dtype() == DType::F32 => (0, 4 * shape.0 * shape.1),
            Weight::Dense(_) => (1, 2 * shape.0 * shape.1),
            Weight::Nf4(_) => (2, Weight::quantised_bytes(shape.0, shape.1)),
        };
        self.bytes[kind] += bytes;
        self.weight_count += shape.0 * shape.1;
        self.uncounted(weight, shape)
    }

    fn uncounted(&self, weight: Weight, shape: (usize, usize)) -> Result<Matrix, ModelError> {
        let format = match &weight {
            Weight::Dense(values) => {
                // All that could go wrong later.
                on_cpu(values, &mut |_| ())?;
                if values.dtype() == DType::F32 { Format::F32 } else { Format::Bf16 }
            }
            Weight::Nf4(_) => Format::Bf16,
        };
        Ok(Matrix::lent(Arc::new(Lent(weight)), shape, format, self.isa))
    }

    /// The one with most bytes first.
    fn formats(&self) -> Vec<&'static str> {
        let mut formats: Vec<_> =
            self.bytes.iter().zip(["F32", "BF16", "NF4"]).filter(|(bytes, _)| **bytes > 0).collect();
        formats.sort_by_key(|(bytes, _)| std::cmp::Reverse(**bytes));
        formats.into_iter().map(|(_, name)| name).collect()
    }
}

/// A weight of the decoder. One in 4 bits is expanded for each product, as in training.
struct Lent(Weight);

impl Lender for Lent {
    fn lend(&self, act: &mut dyn FnMut(LentRows<'_>)) {
        let lent = self.0.dense().and_then(|values| on_cpu(&values, act));
        lent.expect("weights that were on the CPU when they were lent stay there");
    }
}

/// Shows the values of a tensor.
fn on_cpu(tensor: &Tensor, act: &mut dyn FnMut(LentRows<'_>)) -> candle_core::Result<()> {
    let (storage, layout) = tensor.storage_and_layout();
    let Some((start, end)) = layout.contiguous_offsets() else {
        bail!("a weight that is served as it lies must be contiguous, and has strides {:?}", layout.stride());
    };
    match &*storage {
        Storage::Cpu(CpuStorage::F32(values)) => act(LentRows::F32(&values[start..end])),
        Storage::Cpu(CpuStorage::BF16(values)) => act(LentRows::Bf16(&values[start..end])),
        _ => bail!("weights in f32 or bf16 on the CPU are served as they lie, not {:?}", tensor.dtype()),
    }
    Ok(())
}

fn values(tensor: &Tensor) -> candle_core::Result<Vec<f32>> {
    tensor.to_dtype(DType::F32)?.to_vec1()
}
