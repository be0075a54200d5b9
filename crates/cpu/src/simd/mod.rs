//! Vectors of sixteen f32, the same on every processor, and kernels written once over them.
//!
//! A kernel is a [`Kernel`] whose `run` is generic over [`Simd`]; [`run`] compiles it for each instruction set and calls
//! the one asked for. A value of a type that implements [`Simd`] is the proof that its instructions are there: only
//! [`run`] makes one. So kernels are safe code.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

use half::{bf16, f16};

use crate::Isa;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::{Avx512, Avx512Bf16, Bf16Kernel, run_bf16};
pub(crate) use portable::Portable;

/// Numbers in a vector, on every processor: sums over lanes run in the same order everywhere.
pub(crate) const LANES: usize = 16;

/// A vector's worth of numbers in memory.
pub(crate) type Block<T = f32> = [T; LANES];

/// Operations on vectors of sixteen f32.
pub(crate) trait Simd: Copy {
    /// Sixteen f32.
    type V: Copy;

    /// Sums that fit in registers beside their operands.
    const ACCUMULATORS: usize;

    fn splat(self, value: f32) -> Self::V;
    fn load(self, values: &Block) -> Self::V;
    fn load_f16(self, values: &Block<f16>) -> Self::V;
    fn load_bf16(self, values: &Block<bf16>) -> Self::V;
    fn store(self, vector: Self::V, out: &mut Block);
    /// Rounded to nearest, ties to even.
    fn store_f16(self, vector: Self::V, out: &mut Block<f16>);
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// The larger of each pair; of a pair with NaN, `b`.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c`, rounded once where the processor can.
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// Lanes `from..to` of `inside`, the others of `outside`.
    fn select(self, from: usize, to: usize, inside: Self::V, outside: Self::V) -> Self::V;
    /// `2^n` for integers `n` in `-126..=127`, given as the f32 `n + 1.5 * 2^23`.
    fn power_of_two(self, shifted: Self::V) -> Self::V;

    /// Asks for the line of a place to be brought near; a hint, whatever the place.
    #[inline(always)]
    fn prefetch<T>(self, place: *const T) {
        let _ = place;
    }

    /// Row `i` of the result is lane `i` of all rows.
    #[inline(always)]
    fn transpose(self, rows: [Self::V; LANES]) -> [Self::V; LANES] {
        let mut lanes = [[0.0; LANES]; LANES];
        for row in 0..LANES {
            self.store(rows[row], &mut lanes[row]);
        }
        let mut columns = rows;
        for column in 0..LANES {
            let mut values = [0.0; LANES];
            for row in 0..LANES {
                values[row] = lanes[row][column];
            }
            columns[column] = self.load(&values);
        }
        columns
    }

    /// The first lanes of a vector, from a slice of at most sixteen; zeros in the others.
    #[inline(always)]
    fn load_some(self, values: &[f32]) -> Self::V {
        if let Ok(block) = values.try_into() {
            return self.load(block);
        }
        let mut block = [0.0; LANES];
        block[..values.len()].copy_from_slice(values);
        self.load(&block)
    }

    /// Writes the first lanes of a vector to a slice of at most sixteen.
    #[inline(always)]
    fn store_some(self, vector: Self::V, out: &mut [f32]) {
        if let Ok(block) = out.try_into() {
            return self.store(vector, block);
        }
        let mut block = [0.0; LANES];
        self.store(vector, &mut block);
        out.copy_from_slice(&block[..out.len()]);
    }

    /// The lanes' sum: lane `i` with lane `i + 8`, then with `i + 4`, `i + 2` and `i + 1`.
    #[inline(always)]
    fn sum(self, vector: Self::V) -> f32 {
        self.fold(vector, |a, b| a + b)
    }

    /// The largest lane.
    #[inline(always)]
    fn largest(self, vector: Self::V) -> f32 {
        self.fold(vector, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn fold(self, vector: Self::V, join: impl Fn(f32, f32) -> f32) -> f32 {
        let mut lanes = [0.0; LANES];
        self.store(vector, &mut lanes);
        let mut width = LANES / 2;
        while width > 0 {
            for lane in 0..width {
                lanes[lane] = join(lanes[lane], lanes[lane + width]);
            }
            width /= 2;
        }
        lanes[0]
    }

    /// `e^x`, for `x` clamped to `-87..=88`.
    ///
    /// Splits `x = n ln 2 + r` with `|r| <= ln 2 / 2` (Cody and Waite) and takes a degree-6 polynomial of `r`: within
    /// 4 ulp, and exactly 1 at 0.
    #[inline(always)]
    fn exp(self, x: Self::V) -> Self::V {
        const MAGIC: f32 = 12_582_912.0; // 1.5 * 2^23: adding it rounds to the nearest integer
        let x = self.max(x, self.splat(-87.0));
        let x = self.sub(self.splat(0.0), self.max(self.sub(self.splat(0.0), x), self.splat(-88.0)));
        let shifted = self.add(self.mul(x, self.splat(std::f32::consts::LOG2_E)), self.splat(MAGIC));
        let n = self.sub(shifted, self.splat(MAGIC));
        let r = self.mul_add(n, self.splat(-0.693_359_4), x);
        let r = self.mul_add(n, self.splat(2.121_944_4e-4), r);
        let p = self.splat(1.388_888_9e-3);
        let p = self.mul_add(p, r, self.splat(8.333_334e-3));
        let p = self.mul_add(p, r, self.splat(4.166_666_6e-2));
        let p = self.mul_add(p, r, self.splat(0.166_666_67));
        let p = self.mul_add(p, r, self.splat(0.5));
        let p = self.mul_add(p, r, self.splat(1.0));
        let p = self.mul_add(p, r, self.splat(1.0));
        self.mul(p, self.power_of_two(shifted))
    }
}

/// A number as it lies in memory, widened to f32 as it is loaded.
pub(crate) trait Element: Copy + Send + Sync + Default + 'static {
    fn load<S: Simd>(simd: S, values: &Block<Self>) -> S::V;
    fn widened(self) -> f32;
}

/// A number that vectors are written as.
pub(crate) trait Stored: Element {
    fn store<S: Simd>(simd: S, vector: S::V, out: &mut Block<Self>);
}

impl Element for f32 {
    #[inline(always)]
    fn load<S: Simd>(simd: S, values: &Block<Self>) -> S::V {
        simd.load(values)
    }

    fn widened(self) -> f32 {
        self
    }
}

impl Stored for f32 {
    #[inline(always)]
    fn store<S: Simd>(simd: S, vector: S::V, out: &mut Block<Self>) {
        simd.store(vector, out);
    }
}

impl Element for f16 {
    #[inline(always)]
    fn load<S: Simd>(simd: S, values: &Block<Self>) -> S::V {
        simd.load_f16(values)
    }

    fn widened(self) -> f32 {
        self.to_f32()
    }
}

impl Stored for f16 {
    #[inline(always)]
    fn store<S: Simd>(simd: S, vector: S::V, out: &mut Block<Self>) {
        simd.store_f16(vector, out);
    }
}

impl Element for bf16 {
    #[inline(always)]
    fn load<S: Simd>(simd: S, values: &Block<Self>) -> S::V {
        simd.load_bf16(values)
    }

    fn widened(self) -> f32 {
        self.to_f32()
    }
}

/// Work written over vectors. `run` and all that it calls on the way to a vector are `#[inline(always)]`.
pub(crate) trait Kernel {
    fn run<S: Simd>(self, simd: S);
}

/// Runs a kernel compiled for an instruction set.
///
/// # Panics
/// When this processor does not have it.
pub(crate) fn run(isa: Isa, kernel: impl Kernel) {
    assert!(isa <= Isa::best(), "{isa:?} on a processor that has {:?}", Isa::best());
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 | Isa::Avx512Bf16 => avx512::run(kernel),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => avx2::run(kernel),
        _ => kernel.run(Portable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Exp<'a>(&'a [f32], &'a mut [f32]);

    impl Kernel for Exp<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            for (x, y) in self.0.as_chunks().0.iter().zip(self.1.as_chunks_mut().0) {
                simd.store(simd.exp(simd.load(x)), y);
            }
        }
    }

    #[test]
    fn exp_is_within_four_ulp_everywhere_and_exact_at_zero() {
        let x: Vec<f32> = (0..160_000).map(|step| (step - 80_000) as f32 * 0.001).chain([0.0; 16]).collect();
        for isa in Isa::available() {
            let mut y = vec![0.0; x.len()];
            run(isa, Exp(&x, &mut y));
            for (x, y) in x.iter().zip(&y) {
                let want = f64::from(*x).exp();
                let relative = ((f64::from(*y) - want) / want).abs();
                assert!(relative < 4.0 * f64::from(f32::EPSILON), "{isa:?} exp({x}): {relative}");
            }
            assert_eq!(y.last(), Some(&1.0));
        }
    }

    struct Everything<'a>(&'a mut Vec<f32>);

    impl Kernel for Everything<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            let a = simd.load(&std::array::from_fn(|lane| lane as f32 - 5.5));
            let half = simd.load_f16(&std::array::from_fn(|lane| f16::from_f32(lane as f32 * 0.25)));
            let brain = simd.load_bf16(&std::array::from_fn(|lane| bf16::from_f32(2.0 - lane as f32)));
            let shifted = simd.add(a, simd.splat(12_582_912.5));
            let b = simd.splat(3.0);
            let results = [
                a,
                half,
                brain,
                simd.sub(a, b),
                simd.mul(a, b),
                simd.div(a, simd.splat(2.0)),
                simd.max(a, half),
                simd.mul_add(a, b, half),
                simd.select(3, 11, a, b),
                simd.select(0, 16, a, b),
                simd.select(16, 16, a, b),
                simd.power_of_two(shifted),
            ];
            for result in results {
                let mut out = [0.0; LANES];
                simd.store(result, &mut out);
                self.0.extend(out);
            }
            let rows = std::array::from_fn(|row| simd.splat(row as f32)).map(|row| simd.add(row, simd.mul(a, b)));
            for column in simd.transpose(rows) {
                let mut out = [f16::ZERO; LANES];
                simd.store_f16(column, &mut out);
                self.0.extend(out.map(f16::to_f32));
            }
            self.0.extend([simd.sum(a), simd.largest(a), simd.sum(half)]);
        }
    }

    /// All values are exact in f32, so every instruction set gives the same.
    #[test]
    fn every_instruction_set_means_the_same_by_each_operation() {
        let mut want = Vec::new();
        run(Isa::Portable, Everything(&mut want));
        assert_eq!(
            want[8 * 16..9 * 16],
            std::array::from_fn::<_, 16, _>(|lane| match lane {
                3..11 => lane as f32 - 5.5,
                _ => 3.0,
            })
        );
        let columns = &want[want.len() - 3 - 256..want.len() - 3];
        for (index, value) in columns.iter().enumerate() {
            assert_eq!(*value, (index % 16) as f32 + ((index / 16) as f32 - 5.5) * 3.0);
        }
        assert_eq!(want[want.len() - 3..], [32.0, 9.5, 30.0]);
        for isa in Isa::available() {
            let mut got = Vec::new();
            run(isa, Everything(&mut got));
            assert_eq!(got, want, "{isa:?}");
        }
    }
}
