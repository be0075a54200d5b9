//! A frozen matrix, as it lies in memory.

use candle_core::{DType, Result, Tensor, bail};

use crate::nf4::{Nf4, byte_count_of};

/// A frozen matrix `(out, in)`. Clones share its memory.
#[derive(Clone)]
pub enum Weight {
    /// f32 or bf16 values; their dtype is the precision of the products.
    Dense(Tensor),
    /// 4 bits a value, expanded to bf16 for each product (Dettmers et al. 2023, QLoRA): matrices `(out_i, in)` under
    /// each other, each quantised by itself.
    Nf4(Vec<Nf4>),
}

/// What quantised weights are expanded to.
const EXPANDED: DType = DType::BF16;

impl Weight {
    /// Quantises matrices that will lie under each other.
    ///
    /// # Errors
    /// When their widths differ or a value is not finite.
    pub fn quantised(parts: &[Tensor]) -> Result<Self> {
        let width = parts.first().map_or(Ok(0), |part| part.dim(1))?;
        if parts.is_empty() || parts.iter().any(|part| part.dims().get(1) != Some(&width)) {
            bail!("matrices of different widths cannot lie under each other");
        }
        Ok(Self::Nf4(parts.iter().map(Nf4::quantise).collect::<Result<_>>()?))
    }

    /// Bytes of a quantised `(out, in)` matrix.
    pub fn quantised_bytes(rows: usize, columns: usize) -> usize {
        byte_count_of(rows, columns)
    }

    /// The values to multiply with: those kept, or freshly expanded ones.
    ///
    /// # Errors
    /// When the device cannot hold them.
    pub fn dense(&self) -> Result<Tensor> {
        match self {
            Self::Dense(values) => Ok(values.clone()),
            Self::Nf4(parts) => expanded(parts),
        }
    }
}

impl From<Tensor> for Weight {
    fn from(values: Tensor) -> Self {
        Self::Dense(values)
    }
}

/// Expands all parts into one matrix, on a card in place.
fn expanded(parts: &[Nf4]) -> Result<Tensor> {
    if let [part] = parts {
        return part.dequantise(EXPANDED);
    }
    let (rows, width) = (parts.iter().map(|part| part.dims().0).sum::<usize>(), parts[0].dims().1);
    let aligned = (width * EXPANDED.size_in_bytes()).is_multiple_of(16);
    if let (Some(whole), true) = (parts[0].empty_beside((rows, width), EXPANDED)?, aligned) {
        let mut start = 0;
        for part in parts {
            let height = part.dims().0;
            part.dequantise_into(&whole.narrow(0, start, height)?)?;
            start += height;
        }
        return Ok(whole);
    }
    let parts = parts.iter().map(|part| part.dequantise(EXPANDED)).collect::<Result<Vec<_>>>()?;
    Tensor::cat(&parts, 0)
}
