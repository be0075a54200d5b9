//! Products of quantised weights with activations of 8 bits.
//!
//! Weights stay at the width they have in the file. They are laid out anew in panels of 16 outputs (`panel`), so that one
//! `vpdpbusd` multiplies 4 columns of 16 outputs with 4 columns of a row. Rows become 8-bit integers with one scale for
//! each 32 columns ([`Int8Rows`]). Sums within 32 columns are integers, so exact in any order; across them there is one
//! f32 sum for each output, in the order of the columns. So every instruction set gives the same bits, and so does a row
//! alone or among others.
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
mod lines; // memory for weights
mod panel; // how weights lie in it
mod portable; // kernels in plain Rust, the oracle

#[cfg(test)]
pub(crate) mod random;
#[cfg(test)]
mod tests;

pub use int8::{Int8Rows, TILE_ROWS};

use std::ops::Range;

use crate::disjoint::Disjoint;
use crate::format::{Format, GROUP};
use crate::{Isa, Team};
use kernels::Kernels;
use lines::{Line, Lines};
use panel::{Layout, OUTPUTS};

/// Bytes of weights that one task reads at most: less than half of a second level cache, so that it can be read again
/// for the next rows.
const TASK_BYTES: usize = 256 << 10;

/// Rows that one task multiplies at most.
const TASK_ROWS: usize = 132;

/// Tasks for each thread that a product is cut into when it is large enough: a late thread costs a fraction of one.
const TASKS_PER_THREAD: usize = 8;

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
pub struct QuantPanels {
    format: Format,
    layout: Layout,
    rows: usize,
    lines: Lines,
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
    pub fn pack(
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
        let lines = layout.pack(outputs, &row);
        Ok(Self { format, layout, rows: outputs, lines, kernels: Kernels::new(format, isa) })
    }

    /// Outputs N.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns K.
    pub fn columns(&self) -> usize {
        self.layout.columns()
    }

    /// The format of the weight.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Bytes of memory: those of the file, rounded up to whole panels, and at most 3% more for the K formats.
    pub fn byte_count(&self) -> usize {
        std::mem::size_of_val::<[Line]>(&self.lines)
    }

    /// The weights of one output: the same bits as [`Format::decode_row`] gives for its row of the file.
    ///
    /// # Panics
    /// When there is no such output or `out` is not one row.
    pub fn decode_row(&self, row: usize, out: &mut [f32]) {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        assert_eq!(out.len(), self.columns(), "columns of a row");
        self.layout.decode_row(self.panel(row / OUTPUTS), row % OUTPUTS, out);
    }

    /// Sets the columns `first_column..first_column + N` of `y` to the products of the rows of `x` with this weight.
    ///
    /// * `x`: T rows of K columns.
    /// * `y`: T rows of `y_stride`; other columns stay as they are.
    ///
    /// # Panics
    /// When the shapes disagree.
    pub fn multiply(&self, team: &Team, x: &Int8Rows, y: &mut [f32], y_stride: usize, first_column: usize) {
        assert_eq!(x.columns(), self.columns(), "columns of the rows and of the weight");
        assert!(first_column + self.rows <= y_stride, "{first_column} + {} of {y_stride} columns", self.rows);
        assert_eq!(y.len(), x.rows() * y_stride, "{} rows of {y_stride}", x.rows());
        if self.rows == 0 || x.rows() == 0 {
            return;
        }
        let panels = self.panel_count();
        let row_parts = x.rows().div_ceil(TASK_ROWS);
        let wanted = (team.thread_count() * TASKS_PER_THREAD).div_ceil(row_parts);
        let panels_max = TASK_BYTES / (self.layout.panel_lines() * size_of::<Line>()).max(1);
        let panels_per_task = (panels / wanted).clamp(1, panels_max.max(1));
        let panel_parts = panels.div_ceil(panels_per_task);
        let tiles = x.tile_count();
        let y = Disjoint::new(y);
        team.each(panel_parts * row_parts, &|task| {
            let (panel_part, row_part) = (task / row_parts, task % row_parts);
            let panels = panel_part * panels_per_task..((panel_part + 1) * panels_per_task).min(panels);
            let tiles = row_part * tiles / row_parts..(row_part + 1) * tiles / row_parts;
            // SAFETY: tasks differ in their panels or their tiles.
            unsafe { self.multiply_part(x, tiles, panels, &y, y_stride, first_column) };
        });
    }

    /// Panels of 16 outputs, the last of what is left.
    pub(crate) fn panel_count(&self) -> usize {
        self.rows.div_ceil(OUTPUTS)
    }

    /// The products of some tiles of rows with some panels of outputs.
    ///
    /// * `tiles`: of `x`, each [`TILE_ROWS`] rows.
    /// * `panels`: of this weight, each 16 outputs.
    /// * `y`, `y_stride`, `first_column`: as for [`Self::multiply`].
    ///
    /// # Safety
    /// Nobody else uses these rows and columns of `y` at the same time.
    pub(crate) unsafe fn multiply_part(
        &self,
        x: &Int8Rows,
        tiles: Range<usize>,
        panels: Range<usize>,
        y: &Disjoint<'_, f32>,
        y_stride: usize,
        first_column: usize,
    ) {
        for tile in tiles {
            let tile = x.tile(tile);
            for panel in panels.clone() {
                let products = self.kernels.multiply(self.panel(panel), &tile);
                let first = panel * OUTPUTS;
                let count = OUTPUTS.min(self.rows - first);
                for (row, products) in products[..tile.rows].iter().enumerate() {
                    let at = (tile.first_row + row) * y_stride + first_column + first;
                    // SAFETY: rows of this tile and columns of this panel, which the caller promises to nobody else.
                    unsafe { y.part(at, count) }.copy_from_slice(&products[..count]);
                }
            }
        }
    }

    fn panel(&self, panel: usize) -> &[Line] {
        let lines = self.layout.panel_lines();
        &self.lines[panel * lines..][..lines]
    }
}

impl std::fmt::Debug for QuantPanels {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "QuantPanels({} x {} {})", self.rows, self.columns(), self.format)
    }
}

/// Columns that share a scale in [`Int8Rows`] are those that share one in the weights.
const _: () = assert!(GROUP == int8::GROUP_WORDS * 4);
