//! How weights lie in files: plain numbers and ggml's block formats, byte for byte.
//!
//! A row is a sequence of blocks and a block is a few columns of one row, so a row has whole blocks only. Blocks hold
//! unsigned levels `q` of 4 to 8 bits with a scale and, in some formats, a minimum: a weight is `scale * (q - zero)` or
//! `scale * q + minimum`. The K formats join 8 groups of 32 columns: the scales of the groups are small integers under a
//! common factor.
//!
//! Source: the layouts of `ggml-common.h` and the formulas of `ggml-quants.c` in llama.cpp.

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
}

impl std::fmt::Display for Format {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}
