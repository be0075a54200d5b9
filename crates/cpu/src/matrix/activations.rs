//! Rows of activations in the shapes that kernels take.

use std::ops::Range;

use super::product::tile_rows;
use crate::quant::{Int8Rows, TILE_ROWS};
use crate::simd::{Kernel, LANES, Simd, run};
use crate::{Isa, Team};

/// Shapes of activations that kernels take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wants {
    pub(super) isa: Isa,
    pub(super) f32: bool,
    pub(super) bf16: bool,
    pub(super) int8: bool,
}

impl Wants {
    pub(super) fn nothing(isa: Isa) -> Self {
        Self { isa, f32: false, bf16: false, int8: false }
    }

    /// What both take.
    ///
    /// # Panics
    /// When their matrices were packed for different instruction sets.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        assert_eq!(self.isa, other.isa, "instruction sets of matrices with the same activations");
        Self { isa: self.isa, f32: self.f32 || other.f32, bf16: self.bf16 || other.bf16, int8: self.int8 || other.int8 }
    }

    pub(super) fn covers(self, other: Self) -> bool {
        self.and(other) == self
    }
}

/// Rows of activations, `(T, K)`, made ready once for any number of matrices.
///
/// Rows lie in tiles: the first inputs of some rows, then their second inputs, and so on.
pub struct Activations {
    rows: usize,
    columns: usize,
    has: Wants,
    /// Tiles of `K` times the tile's rows.
    values: Vec<f32>,
    /// Tiles of `K / 2` times the tile's rows: pairs of bf16, the first input of each in the low half.
    #[cfg(target_arch = "x86_64")]
    pairs: Vec<u32>,
    int8: Int8Rows,
}

impl Default for Activations {
    fn default() -> Self {
        Self::new()
    }
}

impl Activations {
    /// No rows; memory is kept from one [`Self::set`] to the next.
    pub fn new() -> Self {
        Self {
            rows: 0,
            columns: 0,
            has: Wants::nothing(Isa::Portable),
            values: Vec::new(),
            #[cfg(target_arch = "x86_64")]
            pairs: Vec::new(),
            int8: Int8Rows::new(),
        }
    }

    /// Rows, T.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns, K.
    pub fn columns(&self) -> usize {
        self.columns
    }

    pub(super) fn has(&self) -> Wants {
        self.has
    }

    /// Takes new rows.
    ///
    /// * `x`: `(T, K)`.
    /// * `wants`: what the matrices they will be multiplied with want.
    ///
    /// # Panics
    /// When `x` has another length.
    pub fn set(&mut self, team: &Team, x: &[f32], rows: usize, columns: usize, wants: Wants) {
        assert_eq!(x.len(), rows * columns, "activations of {rows} x {columns}");
        (self.rows, self.columns, self.has) = (rows, columns, wants);
        let tile = tile_rows(wants.isa);
        if wants.f32 {
            resize(&mut self.values, x.len());
            team.each_chunk(&mut self.values, (tile * columns).max(1), &|index, out| {
                let x = &x[index * tile * columns..][..out.len()];
                run(wants.isa, Interleave { x, columns, out });
            });
        }
        #[cfg(target_arch = "x86_64")]
        if wants.bf16 {
            let pairs = columns.div_ceil(2);
            resize(&mut self.pairs, rows * pairs);
            team.each_chunk(&mut self.pairs, (tile * pairs).max(1), &|index, out| {
                let first = index * tile * columns;
                let x = &x[first..x.len().min(first + tile * columns)];
                super::product_bf16::interleave_pairs(x, columns, out);
            });
        }
        if wants.int8 {
            self.int8.set(team, wants.isa, x, rows, columns);
        }
    }

    /// Rows of a tile; the last has what is left.
    #[inline(always)]
    pub(super) fn tile_len(&self, tile: usize) -> usize {
        let rows = tile_rows(self.has.isa);
        rows.min(self.rows - tile * rows)
    }

    /// A tile as f32: the rows' first inputs, their second inputs and so on.
    #[inline(always)]
    pub(super) fn tile(&self, tile: usize) -> &[f32] {
        let first = tile * tile_rows(self.has.isa) * self.columns;
        &self.values[first..][..self.tile_len(tile) * self.columns]
    }

    #[cfg(target_arch = "x86_64")]
    /// A tile as pairs of bf16.
    #[inline(always)]
    pub(super) fn pair_tile(&self, tile: usize) -> &[u32] {
        let pairs = self.columns.div_ceil(2);
        let first = tile * tile_rows(self.has.isa) * pairs;
        &self.pairs[first..][..self.tile_len(tile) * pairs]
    }

    /// Tiles of these rows.
    #[inline(always)]
    pub(super) fn tiles(&self, rows: &Range<usize>) -> Range<usize> {
        let tile = tile_rows(self.has.isa);
        rows.start / tile..rows.end.div_ceil(tile)
    }

    /// The rows as integers.
    pub(super) fn int8(&self) -> &Int8Rows {
        &self.int8
    }

    /// Tiles of integers of these rows.
    pub(super) fn int8_tiles(&self, rows: &Range<usize>) -> Range<usize> {
        rows.start / TILE_ROWS..rows.end.div_ceil(TILE_ROWS)
    }

    /// Rows in blocks of whole tiles that fit in the second-level cache.
    pub(super) fn row_blocks(&self) -> Vec<Range<usize>> {
        const BLOCK_ROWS: usize = 528;
        let (tiles, blocks) = (self.rows.div_ceil(TILE_ROWS), self.rows.div_ceil(BLOCK_ROWS));
        let row = |block: usize| self.rows.min(block * tiles / blocks * TILE_ROWS);
        (0..blocks).map(|block| row(block)..row(block + 1)).collect()
    }
}

fn resize<T: Copy + Default>(values: &mut Vec<T>, len: usize) {
    if values.len() > len {
        values.truncate(len);
    }
    values.resize(len, T::default());
}

/// `(rows, columns)` to `(columns, rows)`.
struct Interleave<'a> {
    x: &'a [f32],
    columns: usize,
    out: &'a mut [f32],
}

impl Kernel for Interleave<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { x, columns, out } = self;
        let rows = x.len() / columns.max(1);
        if rows == 1 {
            out.copy_from_slice(x);
            return;
        }
        for column in (0..columns).step_by(LANES) {
            let count = LANES.min(columns - column);
            let mut block = [simd.splat(0.0); LANES];
            for row in 0..rows {
                block[row] = simd.load_some(&x[row * columns + column..][..count]);
            }
            let block = simd.transpose(block);
            for index in 0..count {
                let values = block[index];
                // What a vector has beyond the rows is overwritten by the next one.
                let out = &mut out[(column + index) * rows..];
                match out.first_chunk_mut() {
                    Some(out) => simd.store(values, out),
                    None => {
                        let rest = out.len().min(rows);
                        simd.store_some(values, &mut out[..rest]);
                    }
                }
            }
        }
    }
}
