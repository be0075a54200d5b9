//! Kernels in plain Rust: what other instruction sets must agree with, bit for bit.

use super::int8::{TILE_ROWS, Tile};
use super::kernels::{Kernel, Products};
use super::panel::{self, Line, OUTPUTS, VECTORS};
use crate::format::{Format, Lattice};

/// The kernels of a format for tiles of 1 to 12 rows.
pub(super) fn kernels(format: Format) -> [Kernel; TILE_ROWS] {
    let kernel: Kernel = match format {
        Format::Q8_0 => |panel, x, out| multiply(Lattice::Symmetric, 8, panel, x, out),
        Format::Q4_0 => |panel, x, out| multiply(Lattice::Symmetric, 4, panel, x, out),
        Format::Q5_0 => |panel, x, out| multiply(Lattice::Symmetric, 5, panel, x, out),
        Format::Q4_1 => |panel, x, out| multiply(Lattice::Affine, 4, panel, x, out),
        Format::Q5_1 => |panel, x, out| multiply(Lattice::Affine, 5, panel, x, out),
        Format::Q4K => |panel, x, out| multiply(Lattice::GroupedAffine, 4, panel, x, out),
        Format::Q5K => |panel, x, out| multiply(Lattice::GroupedAffine, 5, panel, x, out),
        Format::Q6K => |panel, x, out| multiply(Lattice::GroupedSymmetric, 6, panel, x, out),
        Format::F32 | Format::F16 | Format::Bf16 => unreachable!("{format} is not packed in panels"),
    };
    [kernel; TILE_ROWS]
}

fn multiply(lattice: Lattice, bits: usize, panel: &[Line], x: &Tile<'_>, out: &mut Products) {
    let groups = x.words.len() / x.rows;
    let (levels, scales) = panel.split_at(groups * bits);
    // Levels are in the upper bits of their bytes.
    let unit = 1.0 / (1u32 << (8 - bits)) as f32;
    out[..x.rows].fill([0.0; OUTPUTS]);
    for (group, lines) in levels.chunks_exact(bits).enumerate() {
        let vectors = panel::vectors(bits, lines);
        let scales = panel::scales(lattice, scales, group);
        for (row, out) in out[..x.rows].iter_mut().enumerate() {
            let at = group * x.rows + row;
            let (words, offsets) = (&x.words[at], x.offsets[at]);
            let halves = [
                sums(&vectors[..VECTORS / 2], &words[..VECTORS / 2]),
                sums(&vectors[VECTORS / 2..], &words[VECTORS / 2..]),
            ];
            for (output, out) in out.iter_mut().enumerate() {
                let [first, second] = halves.map(|sums| sums[output]);
                let scale = |half: usize| scales.scale[half][output] * unit * x.scales[at];
                let whole = first + second;
                *out = match lattice {
                    Lattice::Symmetric => ((whole + offsets[0] + offsets[1]) as f32).mul_add(scale(0), *out),
                    Lattice::Affine | Lattice::GroupedAffine => {
                        let scaled = (whole as f32).mul_add(scale(0), *out);
                        scales.minimum[output].mul_add(x.sums[at], scaled)
                    }
                    Lattice::GroupedSymmetric => {
                        let first = ((first + offsets[0]) as f32).mul_add(scale(0), *out);
                        ((second + offsets[1]) as f32).mul_add(scale(1), first)
                    }
                };
            }
        }
    }
}

/// Sums of levels times integers for 16 outputs.
fn sums(vectors: &[[u8; 64]], words: &[[u8; 4]]) -> [i32; OUTPUTS] {
    let mut sums = [0; OUTPUTS];
    for (vector, word) in vectors.iter().zip(words) {
        let integers = word.map(|byte| i32::from(byte as i8));
        for (sum, levels) in sums.iter_mut().zip(vector.as_chunks::<4>().0) {
            *sum += (0..4).map(|column| i32::from(levels[column]) * integers[column]).sum::<i32>();
        }
    }
    sums
}
