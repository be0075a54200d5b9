//! Rows as integers of 8 bits: blocks of 32 columns with one scale.

use std::sync::Mutex;

use crate::compiled::{self, Work};
use crate::{Isa, Team};

/// Rows of a whole tile, which kernels multiply together.
pub(crate) const TILE_ROWS: usize = 12;

/// Words of 4 integers for the 32 columns that share a scale.
pub(super) const GROUP_WORDS: usize = 8;

/// Columns of a group.
const GROUP: usize = GROUP_WORDS * 4;

/// 32 columns as words of 4 signed bytes.
pub(super) type Words = [[u8; 4]; GROUP_WORDS];

/// Zeros.
const NO_WORDS: Words = [[0; 4]; GROUP_WORDS];

/// A word as kernels multiply it.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) fn word(bytes: [u8; 4]) -> i32 {
    i32::from_le_bytes(bytes)
}

/// T rows of K columns as 8-bit integers, what products with quantised weights want.
///
/// For each 32 columns of a row the scale is their largest magnitude over 127 (f32) and the integers are rounded,
/// halves to even. A group with a number that is not finite has a scale that is not a number, and so has every product
/// with it. Rows are stored in tiles of 12, the last of what is left; within one, all rows of a group lie together.
#[derive(Debug, Default)]
pub(crate) struct Int8Rows {
    rows: usize,
    columns: usize,
    words: Vec<Words>,
    numbers: Numbers,
}

/// For each 32 columns of a row, in the order of the words.
#[derive(Debug, Default)]
struct Numbers {
    scales: Vec<f32>,
    /// Scale times the sum of the integers.
    sums: Vec<f32>,
    /// -128 times the sum of the integers of each half: the zero of symmetric levels.
    offsets: Vec<[i32; 2]>,
}

/// 1 to 12 rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tile<'a> {
    pub(super) first_row: usize,
    pub(super) rows: usize,
    pub(super) words: &'a [Words],
    pub(super) scales: &'a [f32],
    pub(super) sums: &'a [f32],
    pub(super) offsets: &'a [[i32; 2]],
}

/// A tile that is being written.
struct TileMut<'a> {
    first_row: usize,
    rows: usize,
    words: &'a mut [Words],
    scales: &'a mut [f32],
    sums: &'a mut [f32],
    offsets: &'a mut [[i32; 2]],
}

impl Int8Rows {
    /// No rows.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Columns K.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// Replaces the rows; memory is kept for the next.
    ///
    /// * `rows`: `(row_count, columns)`.
    ///
    /// # Panics
    /// When `columns` is not a multiple of 32 or the lengths disagree.
    pub(crate) fn set(&mut self, team: &Team, isa: Isa, rows: &[f32], row_count: usize, columns: usize) {
        assert!(columns.is_multiple_of(GROUP), "{columns} columns, which are not groups of {GROUP}");
        assert_eq!(rows.len(), row_count * columns, "{row_count} rows of {columns}");
        (self.rows, self.columns) = (row_count, columns);
        let count = row_count * columns / GROUP;
        self.words.resize(count, NO_WORDS);
        self.numbers.scales.resize(count, 0.0);
        self.numbers.sums.resize(count, 0.0);
        self.numbers.offsets.resize(count, [0; 2]);
        let fill = |tile: &mut TileMut<'_>| {
            let source = &rows[tile.first_row * columns..][..tile.rows * columns];
            compiled::run(isa, Fill { tile, source, columns });
        };
        let mut tiles = self.tiles_mut();
        match tiles.len() < 2 || row_count <= TILE_ROWS {
            true => tiles.iter_mut().for_each(fill),
            false => {
                let tiles: Vec<Mutex<TileMut<'_>>> = tiles.into_iter().map(Mutex::new).collect();
                team.each(tiles.len(), &|tile| fill(&mut tiles[tile].lock().expect("taken once, by this thread")));
            }
        }
    }

    /// Tiles of all rows.
    pub(crate) fn tile_count(&self) -> usize {
        self.rows.div_ceil(TILE_ROWS)
    }

    /// The first row and the rows of a tile.
    fn tile_rows(&self, tile: usize) -> (usize, usize) {
        let first = tile * TILE_ROWS;
        (first, TILE_ROWS.min(self.rows - first))
    }

    pub(super) fn tile(&self, tile: usize) -> Tile<'_> {
        let (first_row, rows) = self.tile_rows(tile);
        let groups = self.columns / GROUP;
        let range = first_row * groups..(first_row + rows) * groups;
        Tile {
            first_row,
            rows,
            words: &self.words[range.clone()],
            scales: &self.numbers.scales[range.clone()],
            sums: &self.numbers.sums[range.clone()],
            offsets: &self.numbers.offsets[range],
        }
    }

    fn tiles_mut(&mut self) -> Vec<TileMut<'_>> {
        let shapes: Vec<(usize, usize)> = (0..self.tile_count()).map(|tile| self.tile_rows(tile)).collect();
        let groups = self.columns / GROUP;
        let (mut words, mut scales) = (self.words.as_mut_slice(), self.numbers.scales.as_mut_slice());
        let (mut sums, mut offsets) = (self.numbers.sums.as_mut_slice(), self.numbers.offsets.as_mut_slice());
        let tile = |(first_row, rows): (usize, usize)| TileMut {
            first_row,
            rows,
            words: words.split_off_mut(..rows * groups).expect("as many as rows"),
            scales: scales.split_off_mut(..rows * groups).expect("as many as rows"),
            sums: sums.split_off_mut(..rows * groups).expect("as many as rows"),
            offsets: offsets.split_off_mut(..rows * groups).expect("as many as rows"),
        };
        shapes.into_iter().map(tile).collect()
    }
}

/// Rows of f32 to the tile that holds them.
struct Fill<'a, 'b> {
    tile: &'a mut TileMut<'b>,
    source: &'a [f32],
    columns: usize,
}

impl Work for Fill<'_, '_> {
    #[inline(always)]
    fn run(self) {
        let Self { tile, source, columns } = self;
        for (row, source) in source.chunks_exact(columns).enumerate() {
            for (group, values) in source.as_chunks::<GROUP>().0.iter().enumerate() {
                let at = group * tile.rows + row;
                let (words, scale, halves) = quantise(values);
                tile.words[at] = words;
                tile.scales[at] = scale;
                tile.sums[at] = scale * (halves[0] + halves[1]) as f32;
                tile.offsets[at] = halves.map(|sum| -128 * sum);
            }
        }
    }
}

/// Integers, their scale, and the sums of either half.
#[inline(always)]
fn quantise(values: &[f32; GROUP]) -> (Words, f32, [i32; 2]) {
    /// 1.5 * 2^23: a number added to it is rounded to an integer, which is then in the lowest bits.
    const ROUNDER: f32 = 12_582_912.0;
    const INFINITY_BITS: u32 = 0x7f80_0000;
    let peak = values.iter().fold(0, |peak: u32, value| peak.max(value.to_bits() & 0x7fff_ffff));
    if peak >= INFINITY_BITS {
        return (NO_WORDS, f32::NAN, [0; 2]);
    }
    let peak = f32::from_bits(peak);
    let inverse = 127.0 / peak;
    if inverse.is_infinite() {
        // Zeros, and what is too small for its inverse to be a number.
        return (NO_WORDS, 0.0, [0; 2]);
    }
    let mut words = NO_WORDS;
    let bytes = words.as_flattened_mut();
    for (byte, value) in bytes.iter_mut().zip(values) {
        *byte = (value * inverse + ROUNDER).to_bits() as u8;
    }
    let mut halves = [0; 2];
    for (sum, bytes) in halves.iter_mut().zip(bytes.as_chunks::<16>().0) {
        for byte in bytes {
            *sum += i32::from(*byte as i8);
        }
    }
    (words, peak / 127.0, halves)
}

#[cfg(test)]
impl Int8Rows {
    /// One integer and its scale.
    pub(super) fn at(&self, row: usize, column: usize) -> (i8, f32) {
        let tile = (0..self.tile_count()).map(|tile| self.tile(tile)).find(|tile| row < tile.first_row + tile.rows);
        let tile = tile.expect("a tile has the row");
        let at = column / GROUP * tile.rows + row - tile.first_row;
        (tile.words[at].as_flattened()[column % GROUP] as i8, tile.scales[at])
    }
}
