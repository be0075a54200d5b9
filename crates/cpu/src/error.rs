//! What can be wrong with weights.

use crate::quant::PackError;

/// Why weights cannot be packed.
#[derive(Debug, thiserror::Error)]
pub enum CpuError {
    /// A matrix is made of at least one part.
    #[error("a matrix of no parts")]
    NoParts,
    /// All parts lie under each other.
    #[error("a part of {columns} columns under parts of {expected}")]
    ColumnsDiffer {
        /// Columns of the part.
        columns: usize,
        /// Columns of the first part.
        expected: usize,
    },
    /// A part contradicts itself.
    #[error(transparent)]
    Pack(#[from] PackError),
}
