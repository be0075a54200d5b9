//! Kernels for AVX2.
//!
//! `vpmaddubsw` adds two products of a level (u8) and an integer (i8) in 16 bits, which saturate. Levels of 4 to 6 bits
//! are therefore kept in the lower bits here, where as many sums of two fit as the bits allow; levels of 8 bits are
//! multiplied as magnitudes, their sign given to the other factor: `2 * 128 * 127` fits. So the sums are exact, and
//! those of the other instruction sets.

use std::arch::x86_64::*;

use super::int8::{TILE_ROWS, Tile, Words, word};
use super::kernels::{Kernel, Products};
use super::panel::{Line, OUTPUTS, SUPER_LINES, VECTORS};
use crate::format::Format;

/// Outputs of a vector: half a panel.
const LANES: usize = 8;

/// The kernels of a format for tiles of 1 to 12 rows.
pub(super) fn kernels(format: Format) -> [Kernel; TILE_ROWS] {
    // Bits of a level, whether there are minima, and whether 256 columns share a factor of scales.
    let kernel: Kernel = match format {
        Format::Q8_0 => multiply::<8, false, false>,
        Format::Q4_0 => multiply::<4, false, false>,
        Format::Q5_0 => multiply::<5, false, false>,
        Format::Q4_1 => multiply::<4, true, false>,
        Format::Q5_1 => multiply::<5, true, false>,
        Format::Q4K => multiply::<4, true, true>,
        Format::Q5K => multiply::<5, true, true>,
        Format::Q6K => multiply::<6, false, true>,
        Format::F32 | Format::F16 | Format::Bf16 => unreachable!("{format} is not packed in panels"),
    };
    [kernel; TILE_ROWS]
}

#[target_feature(enable = "avx2,fma,f16c")]
fn multiply<const BITS: usize, const HAS_MINIMUM: bool, const IS_GROUPED: bool>(
    panel: &[Line],
    x: &Tile<'_>,
    out: &mut Products,
) {
    let groups = x.words.len() / x.rows;
    let (level_lines, scale_lines) = panel.split_at(groups * BITS);
    out.fill([0.0; OUTPUTS]);
    for (group, lines) in level_lines.as_chunks::<BITS>().0.iter().enumerate() {
        let range = group * x.rows..(group + 1) * x.rows;
        let (words, offsets) = (&x.words[range.clone()], &x.offsets[range.clone()]);
        let (x_scales, x_sums) = (&x.scales[range.clone()], &x.sums[range]);
        for half in 0..OUTPUTS / LANES {
            let levels = levels::<BITS>(lines, half);
            let scales = scales::<BITS, HAS_MINIMUM, IS_GROUPED>(scale_lines, group, half);
            for row in 0..x.rows {
                let out = &mut out[row].as_chunks_mut::<LANES>().0[half];
                let [first, second] = match HAS_MINIMUM {
                    true => [0; 2],
                    false => offsets[row],
                };
                let mut sum = load_floats(out);
                let scaled = |sum, integers, scale| {
                    let scale = _mm256_mul_ps(scale, _mm256_set1_ps(x_scales[row]));
                    _mm256_fmadd_ps(_mm256_cvtepi32_ps(integers), scale, sum)
                };
                if IS_GROUPED && !HAS_MINIMUM {
                    let first = dot::<BITS>(first, &levels[..VECTORS / 2], &words[row], 0);
                    let second = dot::<BITS>(second, &levels[VECTORS / 2..], &words[row], VECTORS / 2);
                    sum = scaled(sum, first, scales[0]);
                    sum = scaled(sum, second, scales[1]);
                } else {
                    let whole = dot::<BITS>(first + second, &levels, &words[row], 0);
                    sum = scaled(sum, whole, scales[0]);
                }
                if HAS_MINIMUM {
                    sum = _mm256_fmadd_ps(scales[1], _mm256_set1_ps(x_sums[row]), sum);
                }
                store_floats(out, sum);
            }
        }
    }
}

/// Products of levels in the upper bits of their bytes, added to `start`.
#[inline]
#[target_feature(enable = "avx2")]
fn dot<const BITS: usize>(start: i32, levels: &[__m256i], words: &Words, first_word: usize) -> __m256i {
    let ones = _mm256_set1_epi16(1);
    let words = &words[first_word..][..levels.len()];
    let mut sum = _mm256_setzero_si256();
    if BITS == 8 {
        // The levels are around zero already.
        for (level, bytes) in levels.iter().zip(words) {
            let integers = _mm256_sign_epi8(_mm256_set1_epi32(word(*bytes)), *level);
            let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(*level), integers);
            sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, ones));
        }
        return sum;
    }
    // `2 * (2^BITS - 1) * 127` times this is less than 2^15.
    let vectors = 128 >> BITS;
    for (levels, words) in levels.chunks(vectors).zip(words.chunks(vectors)) {
        let mut pairs = _mm256_setzero_si256();
        for (level, bytes) in levels.iter().zip(words) {
            pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(*level, _mm256_set1_epi32(word(*bytes))));
        }
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, ones));
    }
    let shift = _mm_cvtsi32_si128(8 - BITS as i32);
    _mm256_add_epi32(_mm256_sll_epi32(sum, shift), _mm256_set1_epi32(start))
}

/// The levels of 32 columns of 8 outputs: 8 bits around zero, others in the lower bits of their bytes.
#[inline]
#[target_feature(enable = "avx2")]
fn levels<const BITS: usize>(lines: &[Line; BITS], half: usize) -> [__m256i; VECTORS] {
    if BITS == 8 {
        let sign = _mm256_set1_epi8(i8::MIN);
        return std::array::from_fn(|vector| _mm256_xor_si256(load(&lines[vector], half), sign));
    }
    let lower = _mm256_set1_epi8(0x0f);
    let mut levels = [_mm256_setzero_si256(); VECTORS];
    for vector in 0..4 {
        let line = load(&lines[vector], half);
        levels[vector] = _mm256_and_si256(line, lower);
        levels[vector + 4] = _mm256_and_si256(_mm256_srli_epi16::<4>(line), lower);
    }
    if BITS == 5 {
        let (mut line, one) = (load(&lines[4], half), _mm256_set1_epi8(1));
        for level in &mut levels {
            *level = _mm256_or_si256(_mm256_add_epi8(*level, *level), _mm256_and_si256(line, one));
            line = _mm256_srli_epi16::<1>(line);
        }
    }
    if BITS == 6 {
        let three = _mm256_set1_epi8(3);
        for (levels, line) in levels.chunks_exact_mut(4).zip(&lines[4..]) {
            let mut line = load(line, half);
            for level in levels {
                let upper = _mm256_slli_epi16::<2>(*level);
                *level = _mm256_or_si256(upper, _mm256_and_si256(line, three));
                line = _mm256_srli_epi16::<2>(line);
            }
        }
    }
    levels
}

/// Scales of a group for levels in the upper bits; then, by format, minima or the scales of the second 16 columns.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn scales<const BITS: usize, const HAS_MINIMUM: bool, const IS_GROUPED: bool>(
    lines: &[Line],
    group: usize,
    half: usize,
) -> [__m256; 2] {
    let unit = _mm256_set1_ps(1.0 / (1u32 << (8 - BITS)) as f32);
    if !IS_GROUPED {
        return match HAS_MINIMUM {
            true => [_mm256_mul_ps(halves(&lines[group], half), unit), halves(&lines[group], 2 + half)],
            false => {
                let scale = halves(&lines[group / 2], group % 2 * 2 + half);
                [_mm256_mul_ps(scale, unit), _mm256_setzero_ps()]
            }
        };
    }
    let lines = &lines[group / 8 * SUPER_LINES..][..SUPER_LINES];
    let integers = &lines[1 + group % 8 / 2].as_chunks::<LANES>().0[group % 2 * 4..][..4];
    let (first, second) = (load_8(&integers[half]), load_8(&integers[2 + half]));
    let scale_unit = halves(&lines[0], half);
    if HAS_MINIMUM {
        let scale = _mm256_mul_ps(scale_unit, _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(first)));
        let minimum = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(second));
        let minimum = _mm256_mul_ps(halves(&lines[0], 2 + half), minimum);
        [_mm256_mul_ps(scale, unit), _mm256_xor_ps(minimum, _mm256_set1_ps(-0.0))]
    } else {
        [first, second].map(|integers| {
            let scale = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(integers));
            _mm256_mul_ps(_mm256_mul_ps(scale_unit, scale), unit)
        })
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(line: &Line, half: usize) -> __m256i {
    let half = &line.as_chunks::<32>().0[half];
    // SAFETY: these are 32 bytes; no alignment is needed.
    unsafe { _mm256_loadu_si256(half.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "sse2")]
fn load_8(bytes: &[u8; LANES]) -> __m128i {
    _mm_cvtsi64_si128(i64::from_le_bytes(*bytes))
}

/// The 8 f16 of one quarter of a line.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn halves(line: &Line, quarter: usize) -> __m256 {
    let quarter = &line.as_chunks::<16>().0[quarter];
    // SAFETY: these are 16 bytes; no alignment is needed.
    _mm256_cvtph_ps(unsafe { _mm_loadu_si128(quarter.as_ptr().cast()) })
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_floats(values: &[f32; LANES]) -> __m256 {
    // SAFETY: these are 8 numbers; no alignment is needed.
    unsafe { _mm256_loadu_ps(values.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store_floats(values: &mut [f32; LANES], vector: __m256) {
    // SAFETY: these are 8 numbers; no alignment is needed.
    unsafe { _mm256_storeu_ps(values.as_mut_ptr(), vector) }
}
