//! Levels and scales of one block, wherever a format puts their bits.

use half::f16;

use super::Format;

/// Columns that share a scale (two scales in [`Format::Q6K`]) in every block format.
pub(crate) const GROUP: usize = 32;

/// How levels become weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lattice {
    /// `d * (q - zero)`, the zero in the middle of the levels.
    Symmetric,
    /// `d * q + m`.
    Affine,
    /// `(d * scale) * q - dmin * min`, with integers `scale` and `min` for each group.
    GroupedAffine,
    /// `(d * scale) * (q - zero)`, with an integer `scale` for each half of a group.
    GroupedSymmetric,
}

/// The f16 at byte `at`.
pub(crate) fn half_at(block: &[u8], at: usize) -> f16 {
    f16::from_le_bytes([block[at], block[at + 1]])
}

/// The levels of the group `group` of a block.
pub(crate) fn levels(format: Format, block: &[u8], group: usize) -> [u8; GROUP] {
    match format {
        Format::Q8_0 => std::array::from_fn(|column| block[2 + column] ^ 0x80),
        Format::Q4_0 => nibbles_of_32(&block[2..]),
        Format::Q4_1 => nibbles_of_32(&block[4..]),
        Format::Q5_0 => with_fifth_bits(nibbles_of_32(&block[6..]), &block[2..6]),
        Format::Q5_1 => with_fifth_bits(nibbles_of_32(&block[8..]), &block[4..8]),
        Format::Q4K => nibbles_of_64(&block[16..], group),
        Format::Q5K => {
            let low = nibbles_of_64(&block[48..], group);
            std::array::from_fn(|column| low[column] | (block[16 + column] >> group & 1) << 4)
        }
        Format::Q6K => six_bits(block, group),
        Format::F32 | Format::F16 | Format::Bf16 => unreachable!("{format} has no levels"),
    }
}

/// The integers `scale` and `min` of a group of [`Format::Q4K`] or [`Format::Q5K`]: 6 bits each in 12 bytes.
pub(crate) fn k_scale(block: &[u8], group: usize) -> (u8, u8) {
    let packed = &block[4..16];
    match group < 4 {
        true => (packed[group] & 63, packed[group + 4] & 63),
        false => {
            let scale = packed[group + 4] & 15 | packed[group - 4] >> 6 << 4;
            (scale, packed[group + 4] >> 4 | packed[group] >> 6 << 4)
        }
    }
}

/// 16 bytes: the first 16 columns in the lower nibbles, the others in the upper.
fn nibbles_of_32(bytes: &[u8]) -> [u8; GROUP] {
    std::array::from_fn(|column| match column < 16 {
        true => bytes[column] & 15,
        false => bytes[column - 16] >> 4,
    })
}

/// 32 bytes for each two groups: the first group in the lower nibbles, the second in the upper.
fn nibbles_of_64(bytes: &[u8], group: usize) -> [u8; GROUP] {
    let bytes = &bytes[group / 2 * 32..][..32];
    std::array::from_fn(|column| bytes[column] >> (group % 2 * 4) & 15)
}

/// Bit `i` of 32 is the fifth of column `i`.
fn with_fifth_bits(low: [u8; GROUP], bits: &[u8]) -> [u8; GROUP] {
    std::array::from_fn(|column| low[column] | (bits[column / 8] >> (column % 8) & 1) << 4)
}

/// Of each 4 groups: 64 bytes of nibbles (groups 0 and 1 lower, 2 and 3 upper) and 32 bytes with 2 bits for each.
fn six_bits(block: &[u8], group: usize) -> [u8; GROUP] {
    let (half, group) = (group / 4, group % 4);
    let low = &block[half * 64 + group % 2 * 32..][..32];
    let high = &block[128 + half * 32..][..32];
    std::array::from_fn(|column| low[column] >> (group / 2 * 4) & 15 | (high[column] >> (group * 2) & 3) << 4)
}
