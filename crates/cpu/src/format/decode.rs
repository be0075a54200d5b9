//! Rows to f32: the formulas of the formats, one number at a time.

use half::{bf16, f16};

use super::Format;
use super::blocks::{GROUP, Lattice, half_at, k_scale, levels};

pub(super) fn row(format: Format, bytes: &[u8], out: &mut [f32]) {
    let Some((lattice, bits)) = format.lattice() else {
        return plain(format, bytes, out);
    };
    let blocks = bytes.chunks_exact(format.block_bytes()).zip(out.chunks_exact_mut(format.block_len()));
    for (block, out) in blocks {
        for (group, out) in out.chunks_exact_mut(GROUP).enumerate() {
            let levels = levels(format, block, group);
            let scales = Scales::of(lattice, block, group);
            scales.weights(lattice, bits, &levels, out);
        }
    }
}

fn plain(format: Format, bytes: &[u8], out: &mut [f32]) {
    match format {
        Format::F16 => each(bytes, out, |bytes| f16::from_le_bytes(bytes).to_f32()),
        Format::Bf16 => each(bytes, out, |bytes| bf16::from_le_bytes(bytes).to_f32()),
        _ => each(bytes, out, f32::from_le_bytes),
    }
}

#[inline(always)]
fn each<const N: usize>(bytes: &[u8], out: &mut [f32], number: impl Fn([u8; N]) -> f32) {
    for (out, bytes) in out.iter_mut().zip(bytes.as_chunks::<N>().0) {
        *out = number(*bytes);
    }
}

/// What a group multiplies its levels with and adds to them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scales {
    /// Of the first and of the second half of the group.
    pub(crate) scale: [f32; 2],
    pub(crate) minimum: f32,
}

impl Scales {
    fn of(lattice: Lattice, block: &[u8], group: usize) -> Self {
        let half = |at| half_at(block, at).to_f32();
        match lattice {
            Lattice::Symmetric => Self { scale: [half(0); 2], minimum: 0.0 },
            Lattice::Affine => Self { scale: [half(0); 2], minimum: half(2) },
            Lattice::GroupedAffine => {
                let (scale, min) = k_scale(block, group);
                Self { scale: [half(0) * f32::from(scale); 2], minimum: half(2) * f32::from(min) }
            }
            Lattice::GroupedSymmetric => {
                let scale = |part: usize| half(208) * f32::from(block[192 + 2 * group + part] as i8);
                Self { scale: [scale(0), scale(1)], minimum: 0.0 }
            }
        }
    }

    /// The weights of one group of levels of `bits` bits.
    pub(crate) fn weights(&self, lattice: Lattice, bits: usize, levels: &[u8; GROUP], out: &mut [f32]) {
        let zero = 1 << (bits - 1);
        for (column, (out, &level)) in out.iter_mut().zip(levels).enumerate() {
            let scale = self.scale[column / 16];
            *out = match lattice {
                Lattice::Symmetric | Lattice::GroupedSymmetric => scale * (i32::from(level) - zero) as f32,
                Lattice::Affine => scale * f32::from(level) + self.minimum,
                Lattice::GroupedAffine => scale * f32::from(level) - self.minimum,
            };
        }
    }
}
