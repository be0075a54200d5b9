//! Which kernel runs, and the one place where threads write to the same product.

use std::marker::PhantomData;

use super::int8::{TILE_ROWS, Tile};
use super::panel::{Line, OUTPUTS};
use super::{avx2, avx512, portable};
use crate::Isa;
use crate::format::Format;

/// Products of the 16 outputs of a panel with the rows of a tile.
pub(super) type Products = [[f32; OUTPUTS]; TILE_ROWS];

/// Multiplies a panel with a tile of as many rows as the kernel is made for; sets as many rows of the products.
///
/// # Safety
/// The processor has the instructions of the kernel.
pub(super) type Kernel = unsafe fn(&[Line], &Tile<'_>, &mut Products);

/// The kernels of one format for tiles of 1, 2, 4 and 8 rows.
pub(super) struct Kernels {
    of_rows: [Kernel; 4],
}

impl Kernels {
    /// # Panics
    /// When the format is plain or the processor lacks the instructions.
    pub(super) fn new(format: Format, isa: Isa) -> Self {
        assert!(isa <= Isa::best(), "this processor has no {isa:?}");
        let of_rows = match isa {
            Isa::Portable => portable::kernels(format),
            Isa::Avx2 => avx2::kernels(format),
            Isa::Avx512 | Isa::Avx512Bf16 => avx512::kernels(format),
        };
        Self { of_rows }
    }

    /// Sets the products of the rows of `tile` with the outputs from `first_output` on.
    pub(super) fn multiply(&self, panel: &[Line], tile: &Tile<'_>, y: &Output<'_>, first_output: usize) {
        let mut products = [[0.0; OUTPUTS]; TILE_ROWS];
        // SAFETY: `new` has checked the instructions.
        unsafe { self.of_rows[tile.rows.ilog2() as usize](panel, tile, &mut products) };
        for (row, products) in products[..tile.rows].iter().enumerate() {
            // SAFETY: each pair of a tile and a panel is multiplied by one task only.
            unsafe { y.set(tile.first_row + row, first_output, products) };
        }
    }
}

/// Some columns of all rows of a product, written by several threads.
pub(super) struct Output<'a> {
    values: *mut f32,
    rows: usize,
    stride: usize,
    first_column: usize,
    outputs: usize,
    borrowed: PhantomData<&'a mut [f32]>,
}

// SAFETY: threads write different places; `set` says so.
unsafe impl Sync for Output<'_> {}

impl<'a> Output<'a> {
    /// The columns `first_column..first_column + outputs` of rows of `stride`.
    pub(super) fn new(values: &'a mut [f32], stride: usize, first_column: usize, outputs: usize) -> Self {
        assert!(first_column + outputs <= stride && values.len().is_multiple_of(stride), "columns within a row");
        let rows = values.len() / stride;
        Self { values: values.as_mut_ptr(), rows, stride, first_column, outputs, borrowed: PhantomData }
    }

    /// Sets up to 16 outputs of one row, as many as there are.
    ///
    /// # Safety
    /// No other thread writes the same outputs of this row at the same time.
    unsafe fn set(&self, row: usize, first_output: usize, products: &[f32; OUTPUTS]) {
        assert!(row < self.rows && first_output < self.outputs, "row {row}, output {first_output}");
        let count = OUTPUTS.min(self.outputs - first_output);
        let at = row * self.stride + self.first_column + first_output;
        // SAFETY: row and columns are within the borrowed slice, as asserted here and in `new`; the caller promises that
        // nobody else writes them.
        unsafe { std::ptr::copy_nonoverlapping(products.as_ptr(), self.values.add(at), count) };
    }
}
