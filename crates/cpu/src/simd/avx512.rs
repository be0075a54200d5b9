//! Sixteen lanes as one vector of AVX-512, and dot products of pairs of bf16.

use std::arch::x86_64::*;

use half::{bf16, f16};

use super::{Block, Kernel, LANES, Simd};

/// A value of this type exists only where AVX-512 F, BW, VL and DQ do.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

/// A value of this type exists only where AVX-512 has BF16, too.
#[derive(Clone, Copy)]
pub(crate) struct Avx512Bf16(pub(crate) Avx512);

/// Runs a kernel; the caller has seen that this processor has AVX-512.
pub(super) fn run(kernel: impl Kernel) {
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")]
    fn with<K: Kernel>(kernel: K) {
        kernel.run(Avx512(()));
    }
    // SAFETY: `super::run` compared with what this processor has.
    unsafe { with(kernel) }
}

/// Work on pairs of bf16.
pub(crate) trait Bf16Kernel {
    fn run(self, simd: Avx512Bf16);
}

/// Runs a kernel on pairs of bf16.
///
/// # Panics
/// When this processor has no such instructions.
pub(crate) fn run_bf16(kernel: impl Bf16Kernel) {
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx2,fma,f16c")]
    fn with<K: Bf16Kernel>(kernel: K) {
        kernel.run(Avx512Bf16(Avx512(())));
    }
    assert!(crate::Isa::best() >= crate::Isa::Avx512Bf16, "this processor has no AVX512-BF16");
    // SAFETY: just looked.
    unsafe { with(kernel) }
}

/// Calls an instruction.
macro_rules! call {
    ($instruction:expr) => {
        // SAFETY: `self` exists, so the instructions do; blocks in memory hold a whole vector.
        unsafe { $instruction }
    };
}

impl Simd for Avx512 {
    type V = __m512;

    const ACCUMULATORS: usize = 24;

    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        call!(_mm512_set1_ps(value))
    }

    #[inline(always)]
    fn load(self, values: &Block) -> __m512 {
        call!(_mm512_loadu_ps(values.as_ptr()))
    }

    #[inline(always)]
    fn load_f16(self, values: &Block<f16>) -> __m512 {
        call!(_mm512_cvtph_ps(_mm256_loadu_si256(values.as_ptr().cast())))
    }

    #[inline(always)]
    fn load_bf16(self, values: &Block<bf16>) -> __m512 {
        call!({
            let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(values.as_ptr().cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
        })
    }

    #[inline(always)]
    fn store(self, vector: __m512, out: &mut Block) {
        call!(_mm512_storeu_ps(out.as_mut_ptr(), vector))
    }

    #[inline(always)]
    fn store_f16(self, vector: __m512, out: &mut Block<f16>) {
        call!({
            let rounded = _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(vector);
            _mm256_storeu_si256(out.as_mut_ptr().cast(), rounded)
        })
    }

    #[inline(always)]
    fn prefetch<T>(self, place: *const T) {
        call!(_mm_prefetch::<_MM_HINT_T0>(place.cast()))
    }

    /// Pairs, then fours of rows side by side within each quarter of a vector; then the quarters.
    #[inline(always)]
    fn transpose(self, rows: [__m512; LANES]) -> [__m512; LANES] {
        const EVEN: i32 = 0b10_00_10_00;
        const ODD: i32 = 0b11_01_11_01;
        let (mut pairs, mut fours) = (rows, rows);
        for i in (0..LANES).step_by(2) {
            pairs[i] = call!(_mm512_unpacklo_ps(rows[i], rows[i + 1]));
            pairs[i + 1] = call!(_mm512_unpackhi_ps(rows[i], rows[i + 1]));
        }
        for i in (0..LANES).step_by(4) {
            for half in 0..2 {
                let upper = call!(_mm512_castps_pd(pairs[i + half]));
                let lower = call!(_mm512_castps_pd(pairs[i + 2 + half]));
                fours[i + 2 * half] = call!(_mm512_castpd_ps(_mm512_unpacklo_pd(upper, lower)));
                fours[i + 2 * half + 1] = call!(_mm512_castpd_ps(_mm512_unpackhi_pd(upper, lower)));
            }
        }
        let mut columns = rows;
        for j in 0..4 {
            let low = [
                call!(_mm512_shuffle_f32x4::<EVEN>(fours[j], fours[4 + j])),
                call!(_mm512_shuffle_f32x4::<ODD>(fours[j], fours[4 + j])),
            ];
            let high = [
                call!(_mm512_shuffle_f32x4::<EVEN>(fours[8 + j], fours[12 + j])),
                call!(_mm512_shuffle_f32x4::<ODD>(fours[8 + j], fours[12 + j])),
            ];
            for half in 0..2 {
                columns[4 * half + j] = call!(_mm512_shuffle_f32x4::<EVEN>(low[half], high[half]));
                columns[8 + 4 * half + j] = call!(_mm512_shuffle_f32x4::<ODD>(low[half], high[half]));
            }
        }
        columns
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        call!(_mm512_add_ps(a, b))
    }

    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        call!(_mm512_sub_ps(a, b))
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        call!(_mm512_mul_ps(a, b))
    }

    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        call!(_mm512_div_ps(a, b))
    }

    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        call!(_mm512_max_ps(a, b))
    }

    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        call!(_mm512_fmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn select(self, from: usize, to: usize, inside: __m512, outside: __m512) -> __m512 {
        let mask = ((1u32 << to) - 1) & !((1u32 << from) - 1);
        call!(_mm512_mask_blend_ps(mask as u16, outside, inside))
    }

    #[inline(always)]
    fn power_of_two(self, shifted: __m512) -> __m512 {
        call!({
            let exponent = _mm512_add_epi32(_mm512_castps_si512(shifted), _mm512_set1_epi32(127));
            _mm512_castsi512_ps(_mm512_slli_epi32::<23>(exponent))
        })
    }
}

/// Sixteen pairs of bf16.
pub(crate) type Pairs = __m512bh;

impl Avx512Bf16 {
    #[inline(always)]
    pub(crate) fn load_pairs(self, pairs: &Block<u32>) -> Pairs {
        // SAFETY: `self` exists, so the instructions do; both types are any 512 bits.
        unsafe { std::mem::transmute(_mm512_loadu_si512(pairs.as_ptr().cast())) }
    }

    #[inline(always)]
    pub(crate) fn splat_pair(self, pair: u32) -> Pairs {
        // SAFETY: `self` exists, so the instructions do; both types are any 512 bits.
        unsafe { std::mem::transmute(_mm512_set1_epi32(pair as i32)) }
    }

    /// `sum + a.0 * b.0 + a.1 * b.1` of each lane, rounded and with subnormals as zero as `vdpbf16ps` says.
    #[inline(always)]
    pub(crate) fn dot(self, sum: __m512, a: Pairs, b: Pairs) -> __m512 {
        call!(_mm512_dpbf16_ps(sum, a, b))
    }

    /// Pairs of neighbouring numbers as bf16, rounded to nearest, ties to even; the first of each in the low half.
    ///
    /// Sixteen pairs of bits, to be moved like f32.
    #[inline(always)]
    pub(crate) fn pairs(self, low: __m512, high: __m512) -> __m512 {
        // SAFETY: `self` exists, so the instructions do; both types are any 512 bits.
        unsafe { std::mem::transmute(_mm512_cvtne2ps_pbh(high, low)) }
    }

    /// Writes bits that [`Self::pairs`] gave.
    #[inline(always)]
    pub(crate) fn store_pairs(self, pairs: __m512, out: &mut Block<u32>) {
        call!(_mm512_storeu_si512(out.as_mut_ptr().cast(), _mm512_castps_si512(pairs)))
    }
}
