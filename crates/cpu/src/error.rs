//! What can be wrong with weights.

use crate::Format;

/// Why weights cannot be packed.
#[derive(Debug, thiserror::Error)]
pub enum CpuError {
    /// A matrix is made of at least one part.
    #[error("a matrix of no parts")]
    NoParts,
    /// Rows of a block format are whole blocks.
    #[error("rows of {columns} columns are not whole blocks of {format}, which are {}", .format.block_len())]
    Columns {
        /// The part's format.
        format: Format,
        /// The part's columns.
        columns: usize,
    },
    /// All parts lie under each other.
    #[error("a part of {columns} columns under parts of {expected}")]
    ColumnsDiffer {
        /// Columns of the part.
        columns: usize,
        /// Columns of the first part.
        expected: usize,
    },
    /// The bytes are those of all rows.
    #[error("{actual} bytes for {rows} rows of {columns} columns in {format}")]
    Bytes {
        /// The part's format.
        format: Format,
        /// The part's rows.
        rows: usize,
        /// The part's columns.
        columns: usize,
        /// Bytes it came with.
        actual: usize,
    },
    /// A row order names rows of its part.
    #[error("the row order names row {row} of a part with {rows} rows")]
    RowOrder {
        /// The row it names.
        row: u32,
        /// The part's rows.
        rows: usize,
    },
}
