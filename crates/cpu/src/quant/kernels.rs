//! Which kernel runs.

use super::int8::{TILE_ROWS, Tile};
use super::panel::{Line, OUTPUTS};
use super::portable;
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512};
use crate::Isa;
use crate::format::Format;

/// Products of the 16 outputs of a panel with the rows of a tile.
pub(super) type Products = [[f32; OUTPUTS]; TILE_ROWS];

/// Multiplies a panel with a tile of as many rows as the kernel is made for; sets as many rows of the products.
///
/// # Safety
/// The processor has the instructions of the kernel.
pub(super) type Kernel = unsafe fn(&[Line], &Tile<'_>, &mut Products);

/// The kernels of one format for tiles of 1 to 12 rows.
pub(super) struct Kernels {
    of_rows: [Kernel; TILE_ROWS],
}

impl Kernels {
    /// # Panics
    /// When the format is plain or the processor lacks the instructions.
    pub(super) fn new(format: Format, isa: Isa) -> Self {
        assert!(isa <= Isa::best(), "this processor has no {isa:?}");
        let of_rows = match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => avx2::kernels(format),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 | Isa::Avx512Bf16 => avx512::kernels(format),
            _ => portable::kernels(format),
        };
        Self { of_rows }
    }

    /// The products of the rows of `tile` with the outputs of `panel`.
    pub(super) fn multiply(&self, panel: &[Line], tile: &Tile<'_>) -> Products {
        let mut products = [[0.0; OUTPUTS]; TILE_ROWS];
        // SAFETY: `new` has checked the instructions.
        unsafe { self.of_rows[tile.rows - 1](panel, tile, &mut products) };
        products
    }
}
