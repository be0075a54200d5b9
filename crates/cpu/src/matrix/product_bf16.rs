//! Products of rows rounded to bf16 with panels of pairs, by the dot products of AVX512-BF16.
//!
//! The same tiles as in [`super::product`], with a pair of inputs in each step.

use std::ops::Range;

use super::Activations;
use super::panels::{PANEL, PairPanels};
use super::product::{Job, tile_rows};
use crate::Isa;
use crate::disjoint::Disjoint;
use crate::simd::{Avx512, Avx512Bf16, Bf16Kernel, LANES, Simd, run_bf16};

/// Pairs of a block when there are several tiles: 256 x 32 pairs of a panel stay in the first-level cache.
const PAIR_BLOCK: usize = 256;

/// Vectors of a panel.
const VECTORS: usize = PANEL / LANES;

/// Does a job.
pub(super) fn multiply(panels: &PairPanels, x: &Activations, job: &Job, out: &Disjoint<'_, f32>) {
    run_bf16(Product { panels, x, job, out });
}

struct Product<'a> {
    panels: &'a PairPanels,
    x: &'a Activations,
    job: &'a Job,
    out: &'a Disjoint<'a, f32>,
}

impl Bf16Kernel for Product<'_> {
    #[inline(always)]
    fn run(self, simd: Avx512Bf16) {
        let depth = self.x.columns().div_ceil(2);
        let tiles = self.x.tiles(&self.job.rows);
        let block = self.job.input_block(&tiles, depth, PAIR_BLOCK);
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

impl Product<'_> {
    #[inline(always)]
    fn tile(&self, simd: Avx512Bf16, tile: usize, panel: usize, inputs: Range<usize>) {
        macro_rules! pick {
            ($($rows:literal)*) => {
                match self.x.tile_len(tile) {
                    $($rows => self.rows::<$rows>(simd, tile, panel, inputs),)*
                    _ => unreachable!("a tile has 1 to 12 rows"),
                }
            };
        }
        pick!(1 2 3 4 5 6 7 8 9 10 11 12)
    }

    #[inline(always)]
    fn rows<const ROWS: usize>(&self, simd: Avx512Bf16, tile: usize, panel: usize, inputs: Range<usize>) {
        let x = &self.x.pair_tile(tile).as_chunks::<ROWS>().0[inputs.clone()];
        let weights = &self.panels.panel(panel)[inputs.clone()];
        let first_row = tile * tile_rows(Isa::Avx512Bf16);
        // SAFETY: no two jobs have the same rows and panels, and this one holds one part at a time.
        let part = |row, vector| unsafe { self.job.part(self.out, first_row + row, panel, vector) };
        let mut sums = [[simd.0.splat(0.0); VECTORS]; ROWS];
        if inputs.start > 0 {
            for row in 0..ROWS {
                for vector in 0..VECTORS {
                    sums[row][vector] = simd.0.load_some(part(row, vector));
                }
            }
        }
        for (x, weights) in x.iter().zip(weights) {
            let (weights, _) = weights.as_chunks();
            let mut pairs = [simd.splat_pair(0); VECTORS];
            for vector in 0..VECTORS {
                pairs[vector] = simd.load_pairs(&weights[vector]);
            }
            for row in 0..ROWS {
                let x = simd.splat_pair(x[row]);
                for vector in 0..VECTORS {
                    sums[row][vector] = simd.dot(sums[row][vector], x, pairs[vector]);
                }
            }
        }
        for row in 0..ROWS {
            for vector in 0..VECTORS {
                simd.0.store_some(sums[row][vector], part(row, vector));
            }
        }
    }
}

/// Rounds rows to bf16, as pairs: the rows' first pairs, their second pairs and so on.
pub(super) fn interleave_pairs(x: &[f32], columns: usize, out: &mut [u32]) {
    run_bf16(Interleave { x, columns, out });
}

struct Interleave<'a> {
    x: &'a [f32],
    columns: usize,
    out: &'a mut [u32],
}

impl Bf16Kernel for Interleave<'_> {
    #[inline(always)]
    fn run(self, simd: Avx512Bf16) {
        let Self { x, columns, out } = self;
        let (rows, pairs) = (x.len() / columns.max(1), columns.div_ceil(2));
        for pair in (0..pairs).step_by(LANES) {
            let count = LANES.min(pairs - pair);
            let mut block = [simd.0.splat(0.0); LANES];
            for row in 0..rows {
                let x = &x[row * columns..][..columns];
                let x = &x[2 * pair..columns.min(2 * (pair + LANES))];
                let (low, high) = x.split_at(LANES.min(x.len()));
                block[row] = simd.pairs(simd.0.load_some(low), simd.0.load_some(high));
            }
            if rows == 1 {
                store(simd, block[0], &mut out[pair..pair + count]);
                continue;
            }
            let block = simd.0.transpose(block);
            for index in 0..count {
                let values = block[index];
                // What a vector has beyond the rows is overwritten by the next one.
                let out = &mut out[(pair + index) * rows..];
                match out.first_chunk_mut() {
                    Some(out) => simd.store_pairs(values, out),
                    None => {
                        let rest = out.len().min(rows);
                        store(simd, values, &mut out[..rest]);
                    }
                }
            }
        }
    }
}

/// Writes the first pairs of a vector.
#[inline(always)]
fn store(simd: Avx512Bf16, pairs: <Avx512 as Simd>::V, out: &mut [u32]) {
    let mut block = [0; LANES];
    simd.store_pairs(pairs, &mut block);
    out.copy_from_slice(&block[..out.len()]);
}
