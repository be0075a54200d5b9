//! f32 to rows.

use half::{bf16, f16};

use super::Format;
use super::blocks::{GROUP, Lattice};
use super::fit::{self, Grid};
use super::joined;
use crate::compiled::Work;

/// One row, appended.
pub(super) struct Row<'a> {
    pub(super) format: Format,
    pub(super) values: &'a [f32],
    pub(super) out: &'a mut Vec<u8>,
}

impl Work for Row<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { format, values, out } = self;
        match format {
            Format::F32 => out.extend(values.iter().flat_map(|value| value.to_le_bytes())),
            Format::F16 => out.extend(values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes())),
            Format::Bf16 => out.extend(values.iter().flat_map(|value| bf16::from_f32(*value).to_le_bytes())),
            _ => {
                for values in values.chunks_exact(format.block_len()) {
                    let start = out.len();
                    out.resize(start + format.block_bytes(), 0);
                    block(format, values, &mut out[start..]);
                }
            }
        }
    }
}

#[inline(always)]
fn block(format: Format, values: &[f32], block: &mut [u8]) {
    let (lattice, bits) = format.lattice().expect("plain numbers have no blocks");
    let is_finite = values.iter().all(|value| value.is_finite());
    let groups = values.as_chunks::<GROUP>().0;
    match lattice {
        // Zero levels and a scale that is not a number.
        Lattice::GroupedSymmetric if !is_finite => put_half(block, 208, f32::NAN),
        _ if !is_finite => put_half(block, 0, f32::NAN),
        Lattice::Symmetric => {
            let grid = match format {
                Format::Q8_0 => eight_bits(&groups[0]),
                _ => fit::symmetric(&groups[0], f32::from(1u8 << (bits - 1)), to_half),
            };
            put_half(block, 0, grid.scale);
            put_levels(format, block, 0, &levels(&groups[0], &grid));
        }
        Lattice::Affine => {
            let grid = fit::affine(&groups[0], top(bits), false, to_half);
            put_half(block, 0, grid.scale);
            put_half(block, 2, grid.minimum);
            put_levels(format, block, 0, &levels(&groups[0], &grid));
        }
        Lattice::GroupedAffine => joined::affine(format, bits, groups, block),
        Lattice::GroupedSymmetric => joined::symmetric(groups, block),
    }
}

/// 255 levels, so that the largest number of either sign is one: finer searches gain nothing here.
#[inline(always)]
fn eight_bits(values: &[f32; GROUP]) -> Grid {
    let peak = values.iter().fold(0.0, |peak: f32, value| peak.max(value.abs()));
    Grid { scale: to_half(peak / 127.0), minimum: 0.0, levels: (-127.0, 127.0) }
}

pub(super) fn top(bits: usize) -> f32 {
    f32::from(u8::MAX >> (8 - bits))
}

/// Levels from zero, as they are stored.
#[inline(always)]
pub(super) fn levels(values: &[f32; GROUP], grid: &Grid) -> [u8; GROUP] {
    let zero = match grid.levels.0 {
        -127.0 => 128.0, // 8 bits leave their least level out
        least => -least,
    };
    let mut levels = [0; GROUP];
    for (level, value) in levels.iter_mut().zip(values) {
        *level = (grid.nearest(*value) + zero) as u8;
    }
    levels
}

/// The nearest f16, of which the largest stands for all that is larger.
pub(super) fn to_half(value: f32) -> f32 {
    f16::from_f32(value.clamp(-65504.0, 65504.0)).to_f32()
}

pub(super) fn put_half(block: &mut [u8], at: usize, value: f32) {
    block[at..at + 2].copy_from_slice(&f16::from_f32(value).to_le_bytes());
}

/// The inverse of [`super::levels`], into a block whose level bits are zero.
pub(super) fn put_levels(format: Format, block: &mut [u8], group: usize, levels: &[u8; GROUP]) {
    for (column, &level) in levels.iter().enumerate() {
        let nibble = level & 15;
        let of_32 = |start: usize| (start + column % 16, column / 16 * 4);
        let of_64 = |start: usize| (start + group / 2 * 32 + column, group % 2 * 4);
        let (at, shift) = match format {
            Format::Q8_0 => {
                block[2 + column] = level ^ 0x80;
                continue;
            }
            Format::Q4_0 => of_32(2),
            Format::Q4_1 => of_32(4),
            Format::Q5_0 => of_32(6),
            Format::Q5_1 => of_32(8),
            Format::Q4K => of_64(16),
            Format::Q5K => of_64(48),
            Format::Q6K => (group / 4 * 64 + group % 2 * 32 + column, group % 4 / 2 * 4),
            Format::F32 | Format::F16 | Format::Bf16 => unreachable!("{format} has no levels"),
        };
        block[at] |= nibble << shift;
        let high = level >> 4;
        match format {
            Format::Q5_0 => block[2 + column / 8] |= high << (column % 8),
            Format::Q5_1 => block[4 + column / 8] |= high << (column % 8),
            Format::Q5K => block[16 + column] |= high << group,
            Format::Q6K => block[128 + group / 4 * 32 + column] |= high << (group % 4 * 2),
            _ => {}
        }
    }
}
