//! Packing operands for the bf16 dot instruction: pairs of neighbours in `k`, side by side for the lanes of a vector.
//!
//! A packed panel is `[k / 2][lanes]` of 32-bit pairs `(x[2 k], x[2 k + 1])`. A lane is a row of `A` or a column of
//! `B`. Missing lanes and the odd last `k` are zeros. f32 sources are rounded to nearest even on the way.

use std::arch::x86_64::*;

use super::Matrix;
use crate::cpu::Values;

/// Lanes of a 512-bit vector of pairs.
pub(super) const LANES: usize = 16;

/// One operand as packing sees it: lanes and `k`, with their distances in elements.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    values: Values<'a>,
    pub(super) lane_count: usize,
    pub(super) k_count: usize,
    lane_stride: usize,
    k_stride: usize,
}

impl<'a> Source<'a> {
    /// `A`: its rows are the lanes.
    pub(super) fn left(a: Matrix<'a>) -> Self {
        Self {
            values: a.values,
            lane_count: a.rows,
            k_count: a.cols,
            lane_stride: a.row_stride,
            k_stride: a.col_stride,
        }
    }

    /// `B`: its columns are the lanes.
    pub(super) fn right(b: Matrix<'a>) -> Self {
        Self::left(b.t())
    }

    /// Packs lanes `lane..lane + 16` for `k..k + k_len` (`k` even).
    ///
    /// # Safety
    /// The processor has AVX512 F, BW and BF16; `out` holds `ceil(k_len / 2)` vectors `out_stride` pairs apart, of
    /// which the lanes in `store` are written.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    pub(super) unsafe fn pack(
        &self,
        lane: usize,
        k: usize,
        k_len: usize,
        out: *mut u32,
        out_stride: usize,
        store: u16,
    ) {
        let lanes = self.lane_count.saturating_sub(lane).min(LANES);
        debug_assert!(k + k_len <= self.k_count);
        let offset = lane * self.lane_stride + k * self.k_stride;
        // SAFETY: lanes and k stay inside the matrix, whose reach was checked when the view was made; `out` by our
        // own contract.
        unsafe {
            match self.values {
                Values::F32(values) => {
                    let start = values.as_ptr().wrapping_add(offset).cast::<u8>();
                    self.pack_typed::<true>(start, lanes, k_len, out, out_stride, store);
                }
                Values::Bf16(values) => {
                    let start = values.as_ptr().wrapping_add(offset).cast::<u8>();
                    self.pack_typed::<false>(start, lanes, k_len, out, out_stride, store);
                }
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    unsafe fn pack_typed<const F32: bool>(
        &self,
        start: *const u8,
        lanes: usize,
        k_len: usize,
        out: *mut u32,
        out_stride: usize,
        store: u16,
    ) {
        let size = if F32 { 4 } else { 2 };
        let (lane_bytes, k_bytes) = (self.lane_stride * size, self.k_stride * size);
        // SAFETY: as in `pack`.
        unsafe {
            if self.k_stride == 1 {
                transpose_lanes::<F32>(start, lane_bytes, lanes, k_len, out, out_stride, store);
            } else {
                assert_eq!(self.lane_stride, 1, "one stride of a matrix must be 1");
                interleave_lanes::<F32>(start, k_bytes, lanes, k_len, out, out_stride, store);
            }
        }
    }
}

/// Lanes that are contiguous in `k`: 16 x 16 transposes of pairs.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn transpose_lanes<const F32: bool>(
    start: *const u8,
    lane_bytes: usize,
    lanes: usize,
    k_len: usize,
    out: *mut u32,
    out_stride: usize,
    store: u16,
) {
    let size = if F32 { 4 } else { 2 };
    let mut k = 0;
    while k < k_len {
        let valid = (k_len - k).min(2 * LANES);
        let mut block = [_mm512_setzero_si512(); LANES];
        for (lane, pairs) in block.iter_mut().enumerate().take(lanes) {
            // SAFETY: `valid` elements from this lane's `k` are inside the source.
            *pairs = unsafe { load_pairs::<F32>(start.add(lane * lane_bytes + k * size), valid) };
        }
        let block = transpose(block);
        for (pair, vector) in block.iter().enumerate().take(valid.div_ceil(2)) {
            // SAFETY: `out` holds one vector for every pair of `k`.
            unsafe { _mm512_mask_storeu_epi32(out.add((k / 2 + pair) * out_stride).cast(), store, *vector) };
        }
        k += 2 * LANES;
    }
}

/// `valid <= 32` neighbouring elements as 16 bf16 pairs, zeros behind them.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn load_pairs<const F32: bool>(start: *const u8, valid: usize) -> __m512i {
    let mask = u32::MAX >> (2 * LANES - valid);
    // SAFETY: masked lanes are not touched.
    unsafe {
        if F32 {
            let low = _mm512_maskz_loadu_ps(mask as u16, start.cast());
            let high = _mm512_maskz_loadu_ps((mask >> LANES) as u16, start.cast::<f32>().wrapping_add(LANES));
            std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low))
        } else {
            _mm512_maskz_loadu_epi16(mask, start.cast())
        }
    }
}

/// Lanes that lie side by side for each `k`: two neighbouring rows are interleaved.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn interleave_lanes<const F32: bool>(
    start: *const u8,
    k_bytes: usize,
    lanes: usize,
    k_len: usize,
    out: *mut u32,
    out_stride: usize,
    store: u16,
) {
    let mask = ((1u32 << lanes) - 1) as u16;
    let order = _mm512_set_epi16(
        31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1,
        16, 0,
    );
    for pair in 0..k_len.div_ceil(2) {
        let even = start.wrapping_add(2 * pair * k_bytes);
        let odd_mask = if 2 * pair + 1 < k_len { mask } else { 0 };
        // SAFETY: masked lanes are not touched, the others are inside the source; `out` as promised by the caller.
        unsafe {
            let odd = even.wrapping_add(k_bytes);
            let rows = if F32 {
                let low = _mm512_maskz_loadu_ps(mask, even.cast());
                let high = _mm512_maskz_loadu_ps(odd_mask, odd.cast());
                std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low))
            } else {
                let low = _mm512_maskz_loadu_epi16(mask as u32, even.cast());
                let high = _mm512_maskz_loadu_epi16(odd_mask as u32, odd.cast());
                _mm512_inserti64x4::<1>(low, _mm512_castsi512_si256(high))
            };
            let pairs = _mm512_permutexvar_epi16(order, rows);
            _mm512_mask_storeu_epi32(out.add(pair * out_stride).cast(), store, pairs);
        }
    }
}

/// Transposes a 16 x 16 block of 32-bit values held in 16 vectors.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose(rows: [__m512i; LANES]) -> [__m512i; LANES] {
    let mut quads = [[_mm512_setzero_si512(); 4]; 4]; // [group of four rows][column modulo 4]
    for group in 0..4 {
        let r = &rows[4 * group..4 * group + 4];
        let (low01, high01) = (_mm512_unpacklo_epi32(r[0], r[1]), _mm512_unpackhi_epi32(r[0], r[1]));
        let (low23, high23) = (_mm512_unpacklo_epi32(r[2], r[3]), _mm512_unpackhi_epi32(r[2], r[3]));
        quads[group] = [
            _mm512_unpacklo_epi64(low01, low23),
            _mm512_unpackhi_epi64(low01, low23),
            _mm512_unpacklo_epi64(high01, high23),
            _mm512_unpackhi_epi64(high01, high23),
        ];
    }
    let mut columns = [_mm512_setzero_si512(); LANES];
    for c in 0..4 {
        let (q0, q1, q2, q3) = (quads[0][c], quads[1][c], quads[2][c], quads[3][c]);
        let (even01, even23) = (_mm512_shuffle_i32x4::<0x88>(q0, q1), _mm512_shuffle_i32x4::<0x88>(q2, q3));
        let (odd01, odd23) = (_mm512_shuffle_i32x4::<0xdd>(q0, q1), _mm512_shuffle_i32x4::<0xdd>(q2, q3));
        columns[c] = _mm512_shuffle_i32x4::<0x88>(even01, even23);
        columns[4 + c] = _mm512_shuffle_i32x4::<0x88>(odd01, odd23);
        columns[8 + c] = _mm512_shuffle_i32x4::<0xdd>(even01, even23);
        columns[12 + c] = _mm512_shuffle_i32x4::<0xdd>(odd01, odd23);
    }
    columns
}
