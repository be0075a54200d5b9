//! Weights of files as a card's kernels take them.

use codeact_cpu::Format;
use codeact_ops::packed::{BLOCK, Block, Format as Packing};
use half::f16;

/// How a file's format lies on a card; `None`: as bf16.
pub(super) fn packing(format: Format) -> Option<Packing> {
    match format {
        Format::F32 | Format::F16 | Format::Bf16 => None,
        Format::Q4_0 => Some(Packing::Q4),
        Format::Q4_1 | Format::Q4K => Some(Packing::Q4Offset),
        // Formats of five and six bits become eight: their steps are far larger than those.
        _ => Some(Packing::Q8),
    }
}

/// The blocks of a row. Q8_0, Q4_0 and Q4_1 come over bit for bit, Q4_K but for its scales in f16, the others rounded.
pub(super) fn read_row(format: Format, bytes: &[u8], blocks: &mut [Block]) {
    let block_bytes = format.block_bytes();
    match format {
        Format::Q8_0 => each(bytes, block_bytes, blocks, |bytes| Block {
            scale: half(bytes, 0),
            offset: 0.0,
            values: std::array::from_fn(|i| bytes[2 + i] as i8),
        }),
        Format::Q4_0 => each(bytes, block_bytes, blocks, |bytes| Block {
            scale: half(bytes, 0),
            offset: 0.0,
            values: nibbles(&bytes[2..]),
        }),
        Format::Q4_1 => each(bytes, block_bytes, blocks, |bytes| Block {
            scale: half(bytes, 0),
            offset: half(bytes, 2),
            values: nibbles(&bytes[4..]),
        }),
        Format::Q4K => {
            for (bytes, blocks) in bytes.chunks_exact(block_bytes).zip(blocks.chunks_exact_mut(256 / BLOCK)) {
                q4_k(bytes, blocks);
            }
        }
        _ => {
            let mut values = vec![0.0; blocks.len() * BLOCK];
            format.decode_row(bytes, &mut values);
            for (values, block) in values.as_chunks::<BLOCK>().0.iter().zip(blocks) {
                *block = Packing::Q8.quantise(values);
            }
        }
    }
}

fn each(bytes: &[u8], block_bytes: usize, blocks: &mut [Block], read: impl Fn(&[u8]) -> Block) {
    for (bytes, block) in bytes.chunks_exact(block_bytes).zip(blocks) {
        *block = read(bytes);
    }
}

fn half(bytes: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32()
}

/// Sixteen bytes whose lower halves come first.
fn nibbles(bytes: &[u8]) -> [i8; BLOCK] {
    std::array::from_fn(|i| (if i < 16 { bytes[i] & 15 } else { bytes[i - 16] >> 4 }) as i8)
}

/// A super-block of eight: two halves, twelve bytes with a scale and a minimum of six bits for each block, the nibbles of
/// two blocks in 32 bytes.
fn q4_k(bytes: &[u8], blocks: &mut [Block]) {
    let (scale, minimum, packed, nibbles) = (half(bytes, 0), half(bytes, 2), &bytes[4..16], &bytes[16..144]);
    for (index, block) in blocks.iter_mut().enumerate() {
        let (own_scale, own_minimum) = match index {
            0..4 => (packed[index] & 63, packed[index + 4] & 63),
            _ => {
                (packed[index + 4] & 15 | packed[index - 4] >> 6 << 4, packed[index + 4] >> 4 | packed[index] >> 6 << 4)
            }
        };
        let of_pair = &nibbles[index / 2 * 32..][..32];
        *block = Block {
            scale: scale * f32::from(own_scale),
            offset: -minimum * f32::from(own_minimum),
            values: std::array::from_fn(|i| (of_pair[i] >> (index % 2 * 4) & 15) as i8),
        };
    }
}

/// Blocks of weights with a deviation of about 0.02.
pub(super) fn random_row(packing: Packing, seed: u64, blocks: &mut [Block]) {
    let mut state = seed;
    for block in blocks {
        for eight in block.values.chunks_mut(8) {
            state = mixed(state);
            for (value, byte) in eight.iter_mut().zip(state.to_le_bytes()) {
                *value = if packing == Packing::Q8 { byte as i8 } else { (byte & 15) as i8 };
            }
        }
        // Evenly spread numbers of 8 bits deviate by 74, of 4 bits by 4.6.
        block.scale = if packing == Packing::Q8 { 0.02 / 74.0 } else { 0.02 / 4.6 };
        block.offset = if packing == Packing::Q4Offset { -7.5 * block.scale } else { 0.0 };
    }
}

/// Every bit of the result depends on every bit of `state` (Steele et al. 2014, SplitMix).
pub(super) fn mixed(state: u64) -> u64 {
    let state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let state = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ state >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ state >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_stand_for_the_weights_of_the_file() {
        let values: Vec<f32> =
            (0..512).map(|i| ((i * 37 % 101) as f32 / 50.0 - 1.0) * (1.0 + i as f32 / 200.0)).collect();
        for (format, tolerance) in [
            (Format::Q8_0, 0.0),
            (Format::Q4_0, 0.0),
            (Format::Q4_1, 1e-6),
            // Scales in f16: 2^-11 of 15 steps and of the minimum.
            (Format::Q4K, 2e-3),
            // Half a step of 8 bits.
            (Format::Q6K, 1.6e-2),
        ] {
            let mut bytes = Vec::new();
            format.encode_row(&values, &mut bytes);
            let mut expected = vec![0.0; values.len()];
            format.decode_row(&bytes, &mut expected);
            let mut blocks = vec![Block::ZERO; values.len() / BLOCK];
            read_row(format, &bytes, &mut blocks);
            let packing = packing(format).unwrap();
            let got: Vec<f32> = blocks.iter().flat_map(|block| packing.expand(block)).collect();
            let off = got.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(off <= tolerance, "{}: off by {off}", format.name());
        }
        assert_eq!([Format::F32, Format::F16, Format::Bf16].map(packing), [None; 3]);
    }
}
