//! Sixteen lanes as one vector of AVX-512, and dot products of pairs of bf16.

use std::arch::x86_64::*;

use half::{bf16, f16};

use super::{Block, Kernel, Simd};

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

    /// Sixteen f32 as bf16, rounded to nearest, ties to even.
    #[inline(always)]
    pub(crate) fn round(self, values: &Block, out: &mut Block<bf16>) {
        call!({
            let rounded: __m256i = std::mem::transmute(_mm512_cvtneps_pbh(_mm512_loadu_ps(values.as_ptr())));
            _mm256_storeu_si256(out.as_mut_ptr().cast(), rounded)
        })
    }
}
