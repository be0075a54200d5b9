//! Products of f32 rows with panels, widened to f32 as they are read.
//!
//! A tile of the result is some rows by one or two vectors of outputs, held in registers while the inputs of a block go
//! by. Between blocks the sums wait in the result itself, which keeps their bits.

use std::ops::Range;

use super::Activations;
use super::panels::{PANEL, Panels};
use crate::Isa;
use crate::disjoint::Disjoint;
use crate::simd::{Element, Kernel, LANES, Simd, run};

/// Inputs of a block when there are several tiles: 256 x 32 f32 of a panel stay in the first-level cache.
const INPUT_BLOCK: usize = 256;

/// Rows of a tile for the kernels of an instruction set.
pub(super) fn tile_rows(isa: Isa) -> usize {
    match isa {
        Isa::Avx512 | Isa::Avx512Bf16 => 12,
        Isa::Avx2 | Isa::Portable => 6,
    }
}

/// Panels that a thread takes at a time.
///
/// * `panels`, `bytes`: of the whole matrix.
/// * `tiles`, `row_blocks`: of the rows.
pub(super) fn panels_per_job(panels: usize, bytes: usize, tiles: usize, row_blocks: usize, threads: usize) -> usize {
    /// Jobs wanted for each thread, so that the last one to finish costs little.
    const JOBS_PER_THREAD: usize = 8;
    /// With one tile, weights come from memory, fastest in long runs: those of a small model (960 x 576 in Q8_0) in one
    /// run for each thread at twice the rate of eight.
    const RUN_BYTES: usize = 1 << 20;
    let jobs_per_thread = match tiles {
        0 | 1 => (bytes / (RUN_BYTES * threads)).clamp(1, JOBS_PER_THREAD),
        _ => JOBS_PER_THREAD,
    };
    match threads {
        1 => panels.max(1),
        _ => (panels * row_blocks).div_ceil(threads * jobs_per_thread).max(1),
    }
}

/// A piece of a product: rows of activations by panels of one section.
pub(super) struct Job {
    /// Whole tiles, but for the last.
    pub(super) rows: Range<usize>,
    pub(super) panels: Range<usize>,
    /// Where the section's outputs begin in a row of the result, and how many they are.
    pub(super) first_column: usize,
    pub(super) columns: usize,
    /// Length of a row of the result.
    pub(super) stride: usize,
}

impl Job {
    /// Inputs of a block, of `depth` in all. A single tile has no use for blocks.
    #[inline(always)]
    pub(super) fn input_block(&self, tiles: &Range<usize>, depth: usize, block: usize) -> usize {
        if tiles.len() == 1 { depth.max(1) } else { block }
    }

    /// The outputs of one vector of a panel in one row of the result.
    ///
    /// # Safety
    /// Row and panel are of this job, no other job has them, and no other part of them is in use.
    #[inline(always)]
    #[expect(clippy::mut_from_ref)] // the caller's promise
    pub(super) unsafe fn part<'a>(
        &self,
        out: &'a Disjoint<'_, f32>,
        row: usize,
        panel: usize,
        vector: usize,
    ) -> &'a mut [f32] {
        let first = panel * PANEL + vector * LANES;
        let Some(count) = self.columns.checked_sub(first) else {
            return &mut [];
        };
        // SAFETY: by our own contract.
        unsafe { out.part(row * self.stride + self.first_column + first, count.min(LANES)) }
    }
}

/// Does a job.
pub(super) fn multiply<E: Element>(isa: Isa, panels: &Panels<E>, x: &Activations, job: &Job, out: &Disjoint<'_, f32>) {
    run(isa, Product { tile_rows: tile_rows(isa), panels, x, job, out });
}

struct Product<'a, E> {
    tile_rows: usize,
    panels: &'a Panels<E>,
    x: &'a Activations,
    job: &'a Job,
    out: &'a Disjoint<'a, f32>,
}

impl<E: Element> Kernel for Product<'_, E> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let depth = self.x.columns();
        let tiles = self.x.tiles(&self.job.rows);
        let block = self.job.input_block(&tiles, depth, INPUT_BLOCK);
        let mut first = 0;
        loop {
            let inputs = first..depth.min(first + block);
            for panel in self.job.panels.clone() {
                for tile in tiles.clone() {
                    self.tile(simd, tile, panel, inputs.clone());
                }
            }
            first = inputs.end;
            if first == depth {
                return;
            }
        }
    }
}

impl<E: Element> Product<'_, E> {
    /// Picks the loop for the tile's rows, with as many vectors as there are registers for.
    #[inline(always)]
    fn tile<S: Simd>(&self, simd: S, tile: usize, panel: usize, inputs: Range<usize>) {
        macro_rules! pick {
            ($($rows:literal)*) => {
                match self.x.tile_len(tile) {
                    $($rows if 2 * $rows <= S::ACCUMULATORS => self.rows::<S, $rows, 2>(simd, tile, panel, inputs),)*
                    $($rows if $rows <= S::ACCUMULATORS => self.rows::<S, $rows, 1>(simd, tile, panel, inputs),)*
                    _ => unreachable!("a tile has 1 to 12 rows"),
                }
            };
        }
        pick!(1 2 3 4 5 6 7 8 9 10 11 12)
    }

    #[inline(always)]
    fn rows<S: Simd, const ROWS: usize, const VECTORS: usize>(
        &self,
        simd: S,
        tile: usize,
        panel: usize,
        inputs: Range<usize>,
    ) {
        let x = &self.x.tile(tile).as_chunks::<ROWS>().0[inputs.clone()];
        let weights = &self.panels.panel(panel)[inputs.clone()];
        let first_row = tile * self.tile_rows;
        // SAFETY: no two jobs have the same rows and panels, and this one holds one part at a time.
        let part = |row, vector| unsafe { self.job.part(self.out, first_row + row, panel, vector) };
        for half in (0..PANEL / LANES).step_by(VECTORS) {
            let mut sums = [[simd.splat(0.0); VECTORS]; ROWS];
            if inputs.start > 0 {
                for row in 0..ROWS {
                    for vector in 0..VECTORS {
                        sums[row][vector] = simd.load_some(part(row, half + vector));
                    }
                }
            }
            for (x, weights) in x.iter().zip(weights) {
                let weights = &weights.as_chunks().0[half..half + VECTORS];
                let mut wide = [simd.splat(0.0); VECTORS];
                for vector in 0..VECTORS {
                    wide[vector] = E::load(simd, &weights[vector]);
                }
                for row in 0..ROWS {
                    let x = simd.splat(x[row]);
                    for vector in 0..VECTORS {
                        sums[row][vector] = simd.mul_add(x, wide[vector], sums[row][vector]);
                    }
                }
            }
            for row in 0..ROWS {
                for vector in 0..VECTORS {
                    simd.store_some(sums[row][vector], part(row, half + vector));
                }
            }
        }
    }
}
