//! Sixteen lanes in plain Rust, for any processor; the oracle of the others.

use half::{bf16, f16};

use super::{Block, LANES, Simd};

/// Every processor has this.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

/// Applies `$body` to each lane.
macro_rules! lanes {
    ($lane:ident => $body:expr) => {{
        let mut out = [0.0; LANES];
        for $lane in 0..LANES {
            out[$lane] = $body;
        }
        out
    }};
}

impl Simd for Portable {
    type V = Block;

    const ACCUMULATORS: usize = 6;

    #[inline(always)]
    fn splat(self, value: f32) -> Block {
        [value; LANES]
    }

    #[inline(always)]
    fn load(self, values: &Block) -> Block {
        *values
    }

    #[inline(always)]
    fn load_f16(self, values: &Block<f16>) -> Block {
        lanes!(lane => values[lane].to_f32())
    }

    #[inline(always)]
    fn load_bf16(self, values: &Block<bf16>) -> Block {
        lanes!(lane => f32::from_bits(u32::from(values[lane].to_bits()) << 16))
    }

    #[inline(always)]
    fn store(self, vector: Block, out: &mut Block) {
        *out = vector;
    }

    #[inline(always)]
    fn store_f16(self, vector: Block, out: &mut Block<f16>) {
        for lane in 0..LANES {
            out[lane] = f16::from_f32(vector[lane]);
        }
    }

    #[inline(always)]
    fn add(self, a: Block, b: Block) -> Block {
        lanes!(lane => a[lane] + b[lane])
    }

    #[inline(always)]
    fn sub(self, a: Block, b: Block) -> Block {
        lanes!(lane => a[lane] - b[lane])
    }

    #[inline(always)]
    fn mul(self, a: Block, b: Block) -> Block {
        lanes!(lane => a[lane] * b[lane])
    }

    #[inline(always)]
    fn div(self, a: Block, b: Block) -> Block {
        lanes!(lane => a[lane] / b[lane])
    }

    #[inline(always)]
    fn max(self, a: Block, b: Block) -> Block {
        lanes!(lane => if a[lane] > b[lane] { a[lane] } else { b[lane] })
    }

    /// Rounded twice: without the instruction, rounding once is a call of the library for every number.
    #[inline(always)]
    fn mul_add(self, a: Block, b: Block, c: Block) -> Block {
        lanes!(lane => a[lane] * b[lane] + c[lane])
    }

    #[inline(always)]
    fn select(self, from: usize, to: usize, inside: Block, outside: Block) -> Block {
        lanes!(lane => if lane >= from && lane < to { inside[lane] } else { outside[lane] })
    }

    #[inline(always)]
    fn power_of_two(self, shifted: Block) -> Block {
        // The integer lies in the low bits; 127 above it moves it to the exponent's place.
        lanes!(lane => f32::from_bits(shifted[lane].to_bits().wrapping_add(127) << 23))
    }
}
