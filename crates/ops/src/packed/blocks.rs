//! Weights in blocks of 32, and the order in which the kernels read them (`kernels/packed_formats.cuh`).

use half::f16;
use rayon::prelude::*;

/// Columns of a row that share a scale.
pub const BLOCK: usize = 32;

/// Rows and columns of a unit: what a warp multiplies at once.
pub(super) const UNIT: usize = 32;

/// How many bits a weight has, and what they mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `scale * v` with `v` in -128..128: 8.5 bits a weight. Holds ggml's Q8_0 as it is.
    Q8,
    /// `scale * (v - 8)` with `v` in 0..16: 4.5 bits a weight. Holds ggml's Q4_0 as it is.
    Q4,
    /// `scale * v + offset` with `v` in 0..16: 5 bits a weight. Holds ggml's Q4_1 as it is, and Q4_K but for the rounding
    /// of its scales to f16.
    Q4Offset,
}

/// 32 neighbouring weights of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Block {
    /// Rounded to f16 when packed.
    pub scale: f32,
    /// The same; only [`Format::Q4Offset`] has it.
    pub offset: f32,
    /// As the format says, `v` as it is written there.
    pub values: [i8; BLOCK],
}

impl Block {
    /// A block of zeros.
    pub const ZERO: Self = Self { scale: 0.0, offset: 0.0, values: [0; BLOCK] };
}

impl Format {
    /// The name in the kernels' names.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Q8 => "q8",
            Self::Q4 => "q4",
            Self::Q4Offset => "q4_offset",
        }
    }

    /// Bytes that one lane has of a unit: values, then scales of four rows.
    fn lane_bytes(self) -> (usize, usize) {
        match self {
            Self::Q8 => (32, 8),
            Self::Q4 => (16, 8),
            Self::Q4Offset => (16, 16),
        }
    }

    /// Bytes of the values and the scales of a matrix; rows are filled up to whole units.
    pub(super) fn bytes(self, rows: usize, columns: usize) -> (usize, usize) {
        let units = rows.div_ceil(UNIT) * (columns / UNIT);
        let (values, scales) = self.lane_bytes();
        // Four lanes share their scales.
        (units * 32 * values, units * 8 * scales)
    }

    /// Rounds 32 weights to this format, as ggml's reference does for Q8_0, Q4_0 and Q4_1.
    pub fn quantise(self, weights: &[f32; BLOCK]) -> Block {
        let furthest = weights.iter().copied().fold(0.0f32, |far, x| if x.abs() > far.abs() { x } else { far });
        let (low, high) = weights.iter().fold((f32::MAX, f32::MIN), |(low, high), x| (low.min(*x), high.max(*x)));
        let (scale, offset) = match self {
            Self::Q8 => (furthest.abs() / 127.0, 0.0),
            Self::Q4 => (furthest / -8.0, 0.0),
            Self::Q4Offset => ((high - low) / 15.0, low),
        };
        let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
        let value = |x: f32| match self {
            Self::Q8 => (x * inverse).round() as i8,
            Self::Q4 => ((x * inverse + 8.5) as i8).min(15),
            Self::Q4Offset => (((x - offset) * inverse + 0.5) as i8).min(15),
        };
        Block { scale, offset, values: weights.map(value) }
    }

    /// The weights that a block stands for, its scale and offset in f16 as the kernels have them.
    pub fn expand(self, block: &Block) -> [f32; BLOCK] {
        let (scale, offset) = (f16::from_f32(block.scale).to_f32(), f16::from_f32(block.offset).to_f32());
        block.values.map(|value| match self {
            Self::Q8 => scale * f32::from(value),
            Self::Q4 => scale * f32::from(value - 8),
            Self::Q4Offset => scale * f32::from(value) + offset,
        })
    }
}

/// Values and scales of a matrix in the kernels' order. `read(row, blocks)` fills in a row's blocks.
pub(super) fn pack(
    format: Format,
    rows: usize,
    columns: usize,
    read: &(dyn Fn(usize, &mut [Block]) + Sync),
) -> (Vec<u8>, Vec<u8>) {
    let (value_bytes, scale_bytes) = format.bytes(rows, columns);
    let (mut values, mut scales) = (vec![0; value_bytes], vec![0; scale_bytes]);
    let (per_row, groups) = (columns / BLOCK, rows.div_ceil(UNIT));
    if groups * per_row == 0 {
        return (values, scales);
    }
    let of_groups = values.par_chunks_mut(value_bytes / groups).zip(scales.par_chunks_mut(scale_bytes / groups));
    of_groups.enumerate().for_each(|(group, (values, scales))| {
        let mut blocks = vec![Block::ZERO; UNIT * per_row];
        for (row, blocks) in (group * UNIT..rows.min((group + 1) * UNIT)).zip(blocks.chunks_mut(per_row)) {
            read(row, blocks);
        }
        let (lane_values, lane_scales) = format.lane_bytes();
        let units = values.chunks_mut(32 * lane_values).zip(scales.chunks_mut(8 * lane_scales));
        for (unit, (values, scales)) in units.enumerate() {
            let block = |row: usize| &blocks[row * per_row + unit];
            for (lane, values) in values.chunks_mut(16).enumerate() {
                pack_lane(format, lane, values, &block);
            }
            for (g, scales) in scales.chunks_mut(lane_scales).enumerate() {
                let rows = (0..4).map(|i| block(g + 8 * i));
                let numbers = rows.flat_map(|block| match format {
                    Format::Q4Offset => vec![block.scale, block.offset],
                    _ => vec![block.scale],
                });
                for (to, number) in scales.chunks_mut(2).zip(numbers) {
                    to.copy_from_slice(&f16::from_f32(number).to_le_bytes());
                }
            }
        }
    });
    (values, scales)
}

/// Sixteen bytes of a unit. With 8 bits the first 32 pieces have the rows g and g + 8, the others g + 16 and g + 24; with 4
/// bits each has all four.
fn pack_lane<'a>(format: Format, piece: usize, to: &mut [u8], block: &dyn Fn(usize) -> &'a Block) {
    let (lane, part) = (piece % 32, piece / 32);
    let (g, columns) = (lane / 4, lane % 4 * 8..lane % 4 * 8 + 8);
    let of_row = |i: usize| &block(g + 8 * i).values[columns.clone()];
    match format {
        Format::Q8 => {
            for (i, to) in to.chunks_mut(8).enumerate() {
                let values = of_row(2 * part + i);
                for (to, column) in to.iter_mut().zip([0, 2, 1, 3, 4, 6, 5, 7]) {
                    *to = values[column] as u8;
                }
            }
        }
        Format::Q4 | Format::Q4Offset => {
            for (i, to) in to.chunks_mut(4).enumerate() {
                let values = of_row(i);
                // Nibbles in the order of the columns 0, 2, 4, 6, 1, 3, 5, 7.
                for (to, (low, high)) in to.iter_mut().zip([(0, 2), (4, 6), (1, 3), (5, 7)]) {
                    *to = values[low] as u8 | (values[high] as u8) << 4;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_within_half_a_step() {
        let weights: [f32; BLOCK] = std::array::from_fn(|i| (i as f32 * 0.37).sin() - 0.3);
        for format in [Format::Q8, Format::Q4, Format::Q4Offset] {
            let block = format.quantise(&weights);
            // Q4's range is not symmetric: the largest of the other sign may be cut off by up to a step.
            let room = if format == Format::Q4 { 1.01 } else { 0.51 };
            let off = format.expand(&block).iter().zip(&weights).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(off <= room * block.scale.abs() + 1e-3, "{format:?}: off by {off}, scale {}", block.scale);
        }
        assert_eq!(Format::Q8.quantise(&[0.0; BLOCK]).values, [0; BLOCK]);
        assert_eq!(Format::Q4.expand(&Format::Q4.quantise(&[0.0; BLOCK])), [0.0; BLOCK]);
    }

    #[test]
    fn a_matrix_takes_as_many_bytes_as_said() {
        for (format, bits) in [(Format::Q8, 8.5), (Format::Q4, 4.5), (Format::Q4Offset, 5.0)] {
            let (values, scales) = pack(format, 64, 96, &|_, _| {});
            assert_eq!((values.len(), scales.len()), format.bytes(64, 96));
            assert_eq!((values.len() + scales.len()) as f64 * 8.0, 64.0 * 96.0 * bits, "{format:?}");
        }
    }
}
