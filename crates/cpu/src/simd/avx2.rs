//! Sixteen lanes as two vectors of AVX2, with FMA and F16C.

use std::arch::x86_64::*;

use half::{bf16, f16};

use super::{Block, Kernel, Simd};

/// A value of this type exists only where AVX2, FMA and F16C do.
#[derive(Clone, Copy)]
pub(super) struct Avx2(());

/// Runs a kernel; the caller has seen that this processor has AVX2, FMA and F16C.
pub(super) fn run(kernel: impl Kernel) {
    #[target_feature(enable = "avx2,fma,f16c")]
    fn with<K: Kernel>(kernel: K) {
        kernel.run(Avx2(()));
    }
    // SAFETY: `super::run` compared with what this processor has.
    unsafe { with(kernel) }
}

/// Calls an instruction on both halves.
macro_rules! both {
    ($instruction:ident($($vector:expr),*)) => {
        // SAFETY: `self` exists, so the instructions do.
        unsafe { [$instruction($($vector[0]),*), $instruction($($vector[1]),*)] }
    };
}

impl Simd for Avx2 {
    type V = [__m256; 2];

    const ACCUMULATORS: usize = 6;

    #[inline(always)]
    fn splat(self, value: f32) -> Self::V {
        // SAFETY: `self` exists, so the instructions do.
        unsafe { [_mm256_set1_ps(value); 2] }
    }

    #[inline(always)]
    fn load(self, values: &Block) -> Self::V {
        // SAFETY: as above, and the block holds 16 values.
        unsafe { [_mm256_loadu_ps(values.as_ptr()), _mm256_loadu_ps(values.as_ptr().add(8))] }
    }

    #[inline(always)]
    fn load_f16(self, values: &Block<f16>) -> Self::V {
        let start: *const __m128i = values.as_ptr().cast();
        // SAFETY: as above, and the block holds 2 vectors of 8 halves.
        unsafe { [_mm256_cvtph_ps(_mm_loadu_si128(start)), _mm256_cvtph_ps(_mm_loadu_si128(start.add(1)))] }
    }

    #[inline(always)]
    fn load_bf16(self, values: &Block<bf16>) -> Self::V {
        let start: *const __m128i = values.as_ptr().cast();
        // SAFETY: as above, and the block holds 2 vectors of 8 halves.
        unsafe {
            let wide =
                [_mm256_cvtepu16_epi32(_mm_loadu_si128(start)), _mm256_cvtepu16_epi32(_mm_loadu_si128(start.add(1)))];
            let [low, high] = [_mm256_slli_epi32::<16>(wide[0]), _mm256_slli_epi32::<16>(wide[1])];
            [_mm256_castsi256_ps(low), _mm256_castsi256_ps(high)]
        }
    }

    #[inline(always)]
    fn store(self, vector: Self::V, out: &mut Block) {
        // SAFETY: `self` exists, so the instructions do; the block holds 16 values.
        unsafe {
            _mm256_storeu_ps(out.as_mut_ptr(), vector[0]);
            _mm256_storeu_ps(out.as_mut_ptr().add(8), vector[1]);
        }
    }

    #[inline(always)]
    fn store_f16(self, vector: Self::V, out: &mut Block<f16>) {
        let start: *mut __m128i = out.as_mut_ptr().cast();
        // SAFETY: `self` exists, so the instructions do; the block holds 2 vectors of 8 halves.
        unsafe {
            _mm_storeu_si128(start, _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(vector[0]));
            _mm_storeu_si128(start.add(1), _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(vector[1]));
        }
    }

    #[inline(always)]
    fn prefetch<T>(self, place: *const T) {
        // SAFETY: a hint, which reads nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(place.cast()) }
    }

    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        both!(_mm256_add_ps(a, b))
    }

    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        both!(_mm256_sub_ps(a, b))
    }

    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        both!(_mm256_mul_ps(a, b))
    }

    #[inline(always)]
    fn div(self, a: Self::V, b: Self::V) -> Self::V {
        both!(_mm256_div_ps(a, b))
    }

    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        both!(_mm256_max_ps(a, b))
    }

    #[inline(always)]
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        both!(_mm256_fmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn select(self, from: usize, to: usize, inside: Self::V, outside: Self::V) -> Self::V {
        // SAFETY: `self` exists, so the instructions do.
        unsafe {
            let (from, to) = (_mm256_set1_epi32(from as i32), _mm256_set1_epi32(to as i32));
            let low = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            let high = _mm256_add_epi32(low, _mm256_set1_epi32(8));
            let low = _mm256_andnot_si256(_mm256_cmpgt_epi32(from, low), _mm256_cmpgt_epi32(to, low));
            let high = _mm256_andnot_si256(_mm256_cmpgt_epi32(from, high), _mm256_cmpgt_epi32(to, high));
            [
                _mm256_blendv_ps(outside[0], inside[0], _mm256_castsi256_ps(low)),
                _mm256_blendv_ps(outside[1], inside[1], _mm256_castsi256_ps(high)),
            ]
        }
    }

    #[inline(always)]
    fn power_of_two(self, shifted: Self::V) -> Self::V {
        // SAFETY: `self` exists, so the instructions do.
        unsafe {
            let bias = _mm256_set1_epi32(127);
            let low = _mm256_add_epi32(_mm256_castps_si256(shifted[0]), bias);
            let high = _mm256_add_epi32(_mm256_castps_si256(shifted[1]), bias);
            [_mm256_castsi256_ps(_mm256_slli_epi32::<23>(low)), _mm256_castsi256_ps(_mm256_slli_epi32::<23>(high))]
        }
    }
}
