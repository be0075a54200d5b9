//! How weights lie in files: plain numbers and ggml's block formats, byte for byte.
//!
//! A row is a sequence of blocks and a block is a few columns of one row, so a row has whole blocks only. Blocks hold
//! unsigned levels `q` of 4 to 8 bits with a scale and, in some formats, a minimum: a weight is `scale * (q - zero)` or
//! `scale * q + minimum`. The K formats join 8 groups of 32 columns: the scales of the groups are small integers under
//! a common factor.
//!
//! Source: the layouts of `ggml-common.h` and the formulas of `ggml-quants.c` in llama.cpp.

mod blocks; // levels and scales of one block
mod decode; // rows to f32
mod encode; // f32 to rows
mod finite; // no infinities, no NaN
mod fit; // scales with a small squared error
mod joined; // f32 to blocks of the K formats

#[cfg(test)]
mod tests;

pub(crate) use blocks::{GROUP, Lattice, half_at, k_scale, levels};
pub(crate) use decode::Scales;

use crate::{Isa, compiled};

/// How the numbers of a row are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of a single.
    Bf16,
    /// 32 columns: f16 scale, 8-bit levels around zero.
    Q8_0,
    /// 32 columns: f16 scale, 4-bit levels around 8.
    Q4_0,
    /// 32 columns: f16 scale and minimum, 4-bit levels.
    Q4_1,
    /// 32 columns: f16 scale, 5-bit levels around 16.
    Q5_0,
    /// 32 columns: f16 scale and minimum, 5-bit levels.
    Q5_1,
    /// 256 columns: groups of 32 with 6-bit scales and minima, 4-bit levels.
    Q4K,
    /// 256 columns: groups of 32 with 6-bit scales and minima, 5-bit levels.
    Q5K,
    /// 256 columns: groups of 16 with 8-bit scales, 6-bit levels around 32.
    Q6K,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 11] = [
        Self::F32,
        Self::F16,
        Self::Bf16,
        Self::Q8_0,
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q4K,
        Self::Q5K,
        Self::Q6K,
    ];

    /// The name that GGUF files and tools use, such as `Q4_K`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::Q8_0 => "Q8_0",
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q5_0 => "Q5_0",
            Self::Q5_1 => "Q5_1",
            Self::Q4K => "Q4_K",
            Self::Q5K => "Q5_K",
            Self::Q6K => "Q6_K",
        }
    }

    /// Columns of a block.
    pub fn block_len(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::Bf16 => 1,
            Self::Q8_0 | Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 => 32,
            Self::Q4K | Self::Q5K | Self::Q6K => 256,
        }
    }

    /// Bytes of a block.
    pub fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Q8_0 => 34,
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q4K => 144,
            Self::Q5K => 176,
            Self::Q6K => 210,
        }
    }

    /// Bytes of a row of `columns`; none when these are not whole blocks, or more than memory can hold.
    pub fn row_bytes(self, columns: usize) -> Option<usize> {
        match columns.is_multiple_of(self.block_len()) {
            true => (columns / self.block_len()).checked_mul(self.block_bytes()),
            false => None,
        }
    }

    /// The numbers of one row, exactly as the format defines them.
    ///
    /// * `bytes`: whole blocks.
    /// * `out`: as many numbers as the blocks have columns.
    ///
    /// # Panics
    /// When the lengths disagree.
    pub fn decode_row(self, bytes: &[u8], out: &mut [f32]) {
        let expected = self.row_bytes(out.len());
        assert_eq!(expected, Some(bytes.len()), "bytes of a row of {} columns in {}", out.len(), self.name());
        decode::row(self, bytes, out);
    }

    /// Appends one row in this format: the same bytes for the same numbers, everywhere.
    ///
    /// Scales are searched for a small squared error of the row, which is never larger than with the scale that the
    /// largest number alone gives. A block with a number that is not finite decodes to what is not a number.
    ///
    /// # Panics
    /// When `values` are not whole blocks.
    pub fn encode_row(self, values: &[f32], out: &mut Vec<u8>) {
        let (columns, block_len) = (values.len(), self.block_len());
        assert!(
            columns.is_multiple_of(block_len),
            "{columns} columns of {}, whose blocks are {block_len}",
            self.name()
        );
        compiled::run(Isa::best(), encode::Row { format: self, values, out });
    }

    /// How levels become weights, and the bits of a level; none for plain numbers.
    pub(crate) fn lattice(self) -> Option<(Lattice, usize)> {
        match self {
            Self::F32 | Self::F16 | Self::Bf16 => None,
            Self::Q8_0 => Some((Lattice::Symmetric, 8)),
            Self::Q4_0 => Some((Lattice::Symmetric, 4)),
            Self::Q5_0 => Some((Lattice::Symmetric, 5)),
            Self::Q4_1 => Some((Lattice::Affine, 4)),
            Self::Q5_1 => Some((Lattice::Affine, 5)),
            Self::Q4K => Some((Lattice::GroupedAffine, 4)),
            Self::Q5K => Some((Lattice::GroupedAffine, 5)),
            Self::Q6K => Some((Lattice::GroupedSymmetric, 6)),
        }
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}
