//! Products of quantised weights with activations of 8 bits.
//!
//! Weights stay at the width they have in the file. They are laid out anew in panels of 16 outputs (`panel`), so that
//! one `vpdpbusd` multiplies 4 columns of 16 outputs with 4 columns of a row. Rows become 8-bit integers with one scale
//! for each 32 columns ([`Int8Rows`]). Sums within 32 columns are integers, so exact in any order; across them there is
//! one f32 sum for each output, in the order of the columns. So every instruction set gives the same bits, and so does
//! a row alone or among others.
//!
//! ```text
//! y[t, n] = sum over groups g of 32 columns:  (scale[n, g] * x.scale[t, g]) * sum of (q - zero) * x.q
//!                                             + minimum[n, g] * (x.scale[t, g] * sum of x.q)
//! ```

#[cfg(target_arch = "x86_64")]
mod avx2; // kernels for AVX2
#[cfg(target_arch = "x86_64")]
mod avx512; // kernels for AVX-512 with VNNI
mod int8; // rows as integers
mod kernels; // which kernel runs
mod panel; // how weights lie in memory
mod portable; // kernels in plain Rust, the oracle

#[cfg(test)]
pub(crate) mod random;
#[cfg(test)]
mod tests;

pub(crate) use int8::{Int8Rows, TILE_ROWS};

use std::ops::Range;

use crate::Isa;
use crate::disjoint::Disjoint;
use crate::format::{Format, GROUP};
use crate::memory::Table;
use kernels::Kernels;
use panel::{Layout, Line, OUTPUTS};

/// Bytes of weights that are multiplied with one tile after the other: less than half of a second level cache.
const CACHED_BYTES: usize = 256 << 10;

/// Weights that cannot be packed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PackError {
    /// Plain numbers have kernels of their own.
    #[error("{format} is not a quantised format")]
    Plain {
        /// What was to be packed.
        format: Format,
    },
    /// A row would end within a block.
    #[error(
        "rows of {columns} columns cannot be {format}, whose blocks are {} columns\n\
         hint: quantise this weight to a format with smaller blocks, such as Q8_0",
        format.block_len()
    )]
    Columns {
        /// Of the weight.
        columns: usize,
        /// Of the weight.
        format: Format,
    },
    /// The bytes are not `rows` times `columns`.
    #[error("{rows} rows of {columns} columns in {format} have {found} bytes instead of {expected}")]
    Bytes {
        /// Of the weight.
        rows: usize,
        /// Of the weight.
        columns: usize,
        /// Of the weight.
        format: Format,
        /// Bytes given.
        found: usize,
        /// Bytes needed; the largest number when there are no such lengths.
        expected: usize,
    },
    /// A row order names a row that is not there.
    #[error("row {row} of the row order is beyond the {rows} rows of the weight")]
    RowOrder {
        /// In the file.
        row: u32,
        /// Of the weight.
        rows: usize,
    },
    /// This processor lacks the instructions.
    #[error("this processor has no {isa:?} instructions")]
    Isa {
        /// Asked for.
        isa: Isa,
    },
}

/// A quantised weight, packed for products: N outputs of K columns. Immutable.
pub(crate) struct QuantPanels {
    layout: Layout,
    rows: usize,
    bytes: Table<u8>,
    kernels: Kernels,
}

impl QuantPanels {
    /// Packs a weight on all processors.
    ///
    /// * `bytes`: `rows` rows of `columns` in `format`, one after the other, as in a file.
    /// * `row_order`: output `i` is row `row_order[i]` of the file; there are as many outputs as it is long.
    /// * `isa`: the instructions that products use.
    ///
    /// # Errors
    /// When `columns` are not whole blocks, the lengths disagree, the order names a row that is not there, or this
    /// processor lacks the instructions.
    pub(crate) fn pack(
        format: Format,
        bytes: &[u8],
        rows: usize,
        columns: usize,
        row_order: Option<&[u32]>,
        isa: Isa,
    ) -> Result<Self, PackError> {
        let Some(layout) = Layout::new(format, columns) else {
            return Err(PackError::Plain { format });
        };
        let row_bytes = format.row_bytes(columns).ok_or(PackError::Columns { columns, format })?;
        let expected = row_bytes.saturating_mul(rows);
        if expected != bytes.len() {
            return Err(PackError::Bytes { rows, columns, format, found: bytes.len(), expected });
        }
        if let Some(&row) = row_order.and_then(|order| order.iter().find(|row| **row as usize >= rows)) {
            return Err(PackError::RowOrder { row, rows });
        }
        if isa > Isa::best() {
            return Err(PackError::Isa { isa });
        }
        let outputs = row_order.map_or(rows, <[u32]>::len);
        let row = |output: usize| {
            let row = row_order.map_or(output, |order| order[output] as usize);
            &bytes[row * row_bytes..][..row_bytes]
        };
        let packed = layout.pack(outputs, &row);
        Ok(Self { layout, rows: outputs, bytes: packed, kernels: Kernels::new(format, isa) })
    }

    /// Outputs N.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Columns K.
    pub(crate) fn columns(&self) -> usize {
        self.layout.columns()
    }

    /// Bytes of memory: those of the file, rounded up to whole panels, and at most 3% more for the K formats.
    pub(crate) fn byte_count(&self) -> usize {
        self.bytes.len()
    }

    /// The weights of one output: the same bits as [`Format::decode_row`] gives for its row of the file.
    ///
    /// # Panics
    /// When there is no such output or `out` is not one row.
    pub(crate) fn decode_row(&self, row: usize, out: &mut [f32]) {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        assert_eq!(out.len(), self.columns(), "columns of a row");
        self.layout.decode_row(self.panel(row / OUTPUTS), row % OUTPUTS, out);
    }

    /// Panels of 16 outputs, the last of what is left.
    pub(crate) fn panel_count(&self) -> usize {
        self.rows.div_ceil(OUTPUTS)
    }

    /// The products of some tiles of rows with some panels of outputs: the columns of `y` from `first_column` on.
    ///
    /// * `x`: T rows of K columns.
    /// * `tiles`: of `x`, each [`TILE_ROWS`] rows.
    /// * `panels`: of this weight, each 16 outputs.
    /// * `y`: T rows of `y_stride`.
    ///
    /// # Safety
    /// Nobody else uses these rows and columns of `y` at the same time.
    ///
    /// # Panics
    /// When the shapes disagree.
    pub(crate) unsafe fn multiply_part(
        &self,
        x: &Int8Rows,
        tiles: Range<usize>,
        panels: Range<usize>,
        y: &Disjoint<'_, f32>,
        y_stride: usize,
        first_column: usize,
    ) {
        assert_eq!(x.columns(), self.columns(), "columns of the rows and of the weight");
        assert!(first_column + self.rows <= y_stride, "{first_column} + {} of {y_stride} columns", self.rows);
        let panel_bytes = self.layout.panel_lines() * size_of::<Line>();
        let step = (CACHED_BYTES / panel_bytes.max(1)).max(1);
        for first in panels.clone().step_by(step) {
            let panels = first..(first + step).min(panels.end);
            for tile in tiles.clone() {
                let tile = x.tile(tile);
                for panel in panels.clone() {
                    let products = self.kernels.multiply(self.panel(panel), &tile);
                    let first = panel * OUTPUTS;
                    let count = OUTPUTS.min(self.rows - first);
                    for (row, products) in products[..tile.rows].iter().enumerate() {
                        let at = (tile.first_row + row) * y_stride + first_column + first;
                        // SAFETY: this tile and this panel, which the caller promises to nobody else.
                        unsafe { y.part(at, count) }.copy_from_slice(&products[..count]);
                    }
                }
            }
        }
    }

    fn panel(&self, panel: usize) -> &[Line] {
        let lines = self.layout.panel_lines();
        &self.bytes.as_chunks().0[panel * lines..][..lines]
    }
}

/// Columns that share a scale in [`Int8Rows`] are those that share one in the weights.
const _: () = assert!(GROUP == int8::GROUP_WORDS * 4);
