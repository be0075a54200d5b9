//! A frozen matrix, as it lies in memory.

use candle_core::{Result, Tensor};

/// A frozen matrix `(out, in)`.
pub enum Weight {
    /// f32 or bf16 values; their dtype is the precision of the products.
    Dense(Tensor),
}

impl Weight {
    ///
    pub fn quantised(parts: &[Tensor]) -> Result<Self> {
        Ok(Tensor::cat(parts, 0)?.into())
    }
    /// `(out, in)`.
    ///
    /// # Errors
    /// When it is no matrix.
    pub fn dims2(&self) -> Result<(usize, usize)> {
        match self {
            Self::Dense(values) => values.dims2(),
        }
    }

    /// The values to multiply with: those kept, or freshly expanded ones.
    ///
    /// # Errors
    /// When the device cannot hold them.
    pub fn dense(&self) -> Result<Tensor> {
        match self {
            Self::Dense(values) => Ok(values.clone()),
        }
    }
}

impl From<Tensor> for Weight {
    fn from(values: Tensor) -> Self {
        Self::Dense(values)
    }
}
