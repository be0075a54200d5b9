//! Kernels for AVX-512 with VNNI.
//!
//! For each 32 columns the levels of 16 outputs are made once, 8 vectors that stay in registers, and multiplied with
//! every row of the tile: `vpdpbusd` adds 4 products of a level (u8) and an integer (i8) to each of 16 sums. The zero
//! of symmetric formats is where these sums begin.

use std::arch::x86_64::*;
use std::ops::Range;

use super::int8::{TILE_ROWS, Tile, Words, word};
use super::kernels::{Kernel, Products};
use super::panel::{Line, OUTPUTS, SUPER_LINES, VECTORS};
use crate::format::Format;

/// Lines that are asked for before they are read: memory takes about as long as the sums of some groups.
const LINES_AHEAD: usize = 224;

/// The kernels of a format for tiles of 1 to 12 rows.
pub(super) fn kernels(format: Format) -> [Kernel; TILE_ROWS] {
    /// Bits of a level, whether there are minima, and whether 256 columns share a factor of scales.
    macro_rules! of_rows {
        ($bits:literal, $has_minimum:literal, $is_grouped:literal) => {
            [
                multiply::<$bits, $has_minimum, $is_grouped, 1>,
                multiply::<$bits, $has_minimum, $is_grouped, 2>,
                multiply::<$bits, $has_minimum, $is_grouped, 3>,
                multiply::<$bits, $has_minimum, $is_grouped, 4>,
                multiply::<$bits, $has_minimum, $is_grouped, 5>,
                multiply::<$bits, $has_minimum, $is_grouped, 6>,
                multiply::<$bits, $has_minimum, $is_grouped, 7>,
                multiply::<$bits, $has_minimum, $is_grouped, 8>,
                multiply::<$bits, $has_minimum, $is_grouped, 9>,
                multiply::<$bits, $has_minimum, $is_grouped, 10>,
                multiply::<$bits, $has_minimum, $is_grouped, 11>,
                multiply::<$bits, $has_minimum, $is_grouped, 12>,
            ]
        };
    }
    match format {
        Format::Q8_0 => of_rows!(8, false, false),
        Format::Q4_0 => of_rows!(4, false, false),
        Format::Q5_0 => of_rows!(5, false, false),
        Format::Q4_1 => of_rows!(4, true, false),
        Format::Q5_1 => of_rows!(5, true, false),
        Format::Q4K => of_rows!(4, true, true),
        Format::Q5K => of_rows!(5, true, true),
        Format::Q6K => of_rows!(6, false, true),
        Format::F32 | Format::F16 | Format::Bf16 => unreachable!("{format} is not packed in panels"),
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
fn multiply<const BITS: usize, const HAS_MINIMUM: bool, const IS_GROUPED: bool, const ROWS: usize>(
    panel: &[Line],
    x: &Tile<'_>,
    out: &mut Products,
) {
    let words = x.words.as_chunks::<ROWS>().0;
    let x_scales = x.scales.as_chunks::<ROWS>().0;
    let x_sums = x.sums.as_chunks::<ROWS>().0;
    let x_offsets = x.offsets.as_chunks::<ROWS>().0;
    let groups = words.len();
    let (level_lines, scale_lines) = panel.split_at(groups * BITS);
    let level_lines = level_lines.as_chunks::<BITS>().0;
    let mut sums = [_mm512_setzero_ps(); ROWS];
    let mut ahead = panel.as_ptr().wrapping_add(LINES_AHEAD);
    for group in 0..groups {
        let lines = &level_lines[group];
        // As many lines as a group has, scales included, so that all of the next panel are asked for.
        let has_scales = match (IS_GROUPED, HAS_MINIMUM) {
            (false, true) => true,
            (false, false) => group % 2 == 1,
            (true, _) => group % 8 < SUPER_LINES,
        };
        for line in 0..BITS + usize::from(has_scales) {
            _mm_prefetch::<_MM_HINT_T0>(ahead.wrapping_add(line).cast());
        }
        ahead = ahead.wrapping_add(BITS + usize::from(has_scales));
        let levels = levels::<BITS>(lines);
        let scales = scales::<BITS, HAS_MINIMUM, IS_GROUPED>(scale_lines, group);
        let x =
            Group { words: &words[group], scales: &x_scales[group], sums: &x_sums[group], offsets: &x_offsets[group] };
        // In parts, because the compiler unrolls no longer loops, without which the sums would not stay in registers.
        part::<0, 4, HAS_MINIMUM, IS_GROUPED, ROWS>(&levels, &scales, &x, &mut sums);
        part::<4, 8, HAS_MINIMUM, IS_GROUPED, ROWS>(&levels, &scales, &x, &mut sums);
        part::<8, 12, HAS_MINIMUM, IS_GROUPED, ROWS>(&levels, &scales, &x, &mut sums);
    }
    for (out, sum) in out.iter_mut().zip(sums) {
        // SAFETY: both are 16 numbers of 32 bits.
        *out = unsafe { std::mem::transmute::<__m512, [f32; OUTPUTS]>(sum) };
    }
}

/// One group of 32 columns of the rows of a tile.
struct Group<'a, const ROWS: usize> {
    words: &'a [Words; ROWS],
    scales: &'a [f32; ROWS],
    sums: &'a [f32; ROWS],
    offsets: &'a [[i32; 2]; ROWS],
}

/// Adds the products of a group to the sums of the rows `FROM..TO`, as far as there are.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
fn part<const FROM: usize, const TO: usize, const HAS_MINIMUM: bool, const IS_GROUPED: bool, const ROWS: usize>(
    levels: &[__m512i; VECTORS],
    scales: &[__m512; 2],
    x: &Group<'_, ROWS>,
    sums: &mut [__m512; ROWS],
) {
    // By number: through an iterator the compiler does not unroll it, which takes ten times as long.
    for row in FROM..TO.min(ROWS) {
        let words = &x.words[row];
        let [first, second] = x.offsets[row];
        let scaled = |sum, integers, scale| {
            let scale = _mm512_mul_ps(scale, _mm512_set1_ps(x.scales[row]));
            _mm512_fmadd_ps(_mm512_cvtepi32_ps(integers), scale, sum)
        };
        if IS_GROUPED && !HAS_MINIMUM {
            let first = dot(_mm512_set1_epi32(first), levels, words, 0..VECTORS / 2);
            let second = dot(_mm512_set1_epi32(second), levels, words, VECTORS / 2..VECTORS);
            sums[row] = scaled(sums[row], first, scales[0]);
            sums[row] = scaled(sums[row], second, scales[1]);
            continue;
        }
        let start = match HAS_MINIMUM {
            true => _mm512_setzero_si512(),
            false => _mm512_set1_epi32(first + second),
        };
        sums[row] = scaled(sums[row], dot(start, levels, words, 0..VECTORS), scales[0]);
        if HAS_MINIMUM {
            sums[row] = _mm512_fmadd_ps(scales[1], _mm512_set1_ps(x.sums[row]), sums[row]);
        }
    }
}

/// Adds the products of some vectors of levels.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
fn dot(start: __m512i, levels: &[__m512i; VECTORS], words: &Words, vectors: Range<usize>) -> __m512i {
    let mut sum = start;
    for vector in vectors {
        sum = _mm512_dpbusd_epi32(sum, levels[vector], _mm512_set1_epi32(word(words[vector])));
    }
    sum
}

/// The levels of 32 columns, in the upper bits of their bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn levels<const BITS: usize>(lines: &[Line; BITS]) -> [__m512i; VECTORS] {
    if BITS == 8 {
        return std::array::from_fn(|vector| load(&lines[vector]));
    }
    let upper = _mm512_set1_epi8(0xf0_u8 as i8);
    let mut levels = [_mm512_setzero_si512(); VECTORS];
    for vector in 0..4 {
        let line = load(&lines[vector]);
        levels[vector] = _mm512_and_si512(_mm512_slli_epi16::<4>(line), upper);
        levels[vector + 4] = _mm512_and_si512(line, upper);
    }
    if BITS == 5 {
        let line = load(&lines[4]);
        let shifted = [
            _mm512_slli_epi16::<3>(line),
            _mm512_slli_epi16::<2>(line),
            _mm512_slli_epi16::<1>(line),
            line,
            _mm512_srli_epi16::<1>(line),
            _mm512_srli_epi16::<2>(line),
            _mm512_srli_epi16::<3>(line),
            _mm512_srli_epi16::<4>(line),
        ];
        add_bits(&mut levels, &shifted, 0x08);
    }
    if BITS == 6 {
        let [first, second] = [load(&lines[4]), load(&lines[BITS - 1])];
        let shifted = [
            _mm512_slli_epi16::<2>(first),
            first,
            _mm512_srli_epi16::<2>(first),
            _mm512_srli_epi16::<4>(first),
            _mm512_slli_epi16::<2>(second),
            second,
            _mm512_srli_epi16::<2>(second),
            _mm512_srli_epi16::<4>(second),
        ];
        add_bits(&mut levels, &shifted, 0x0c);
    }
    levels
}

/// `level | bits & mask`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn add_bits(levels: &mut [__m512i; VECTORS], bits: &[__m512i; VECTORS], mask: i8) {
    /// The truth table of `a | b & c`.
    const OR_AND: i32 = 0xf8;
    let mask = _mm512_set1_epi8(mask);
    for (level, bits) in levels.iter_mut().zip(bits) {
        *level = _mm512_ternarylogic_epi32::<OR_AND>(*level, *bits, mask);
    }
}

/// Scales of a group for levels in the upper bits; then, by format, minima or the scales of the second half.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn scales<const BITS: usize, const HAS_MINIMUM: bool, const IS_GROUPED: bool>(
    lines: &[Line],
    group: usize,
) -> [__m512; 2] {
    let unit = _mm512_set1_ps(1.0 / (1u32 << (8 - BITS)) as f32);
    if !IS_GROUPED {
        return match HAS_MINIMUM {
            true => [_mm512_mul_ps(halves(&lines[group], 0), unit), halves(&lines[group], 1)],
            false => [_mm512_mul_ps(halves(&lines[group / 2], group % 2), unit), _mm512_setzero_ps()],
        };
    }
    let lines = &lines[group / 8 * SUPER_LINES..][..SUPER_LINES];
    let integers = &lines[1 + group % 8 / 2].as_chunks::<OUTPUTS>().0[group % 2 * 2..][..2];
    let scale_unit = halves(&lines[0], 0);
    if HAS_MINIMUM {
        let scale = _mm512_mul_ps(scale_unit, _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(load_16(&integers[0]))));
        let minimum = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(load_16(&integers[1])));
        let minimum = _mm512_mul_ps(halves(&lines[0], 1), minimum);
        // Subtracted from zero it would be zero where it must be minus zero.
        let sign = _mm512_set1_epi32(i32::MIN);
        let negative = _mm512_castsi512_ps(_mm512_xor_si512(_mm512_castps_si512(minimum), sign));
        [_mm512_mul_ps(scale, unit), negative]
    } else {
        let scale = |integers: &[u8; OUTPUTS]| {
            let scale = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(load_16(integers)));
            _mm512_mul_ps(_mm512_mul_ps(scale_unit, scale), unit)
        };
        [scale(&integers[0]), scale(&integers[1])]
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(line: &Line) -> __m512i {
    // SAFETY: a line is 64 bytes; no alignment is needed.
    unsafe { _mm512_loadu_si512(line.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "sse2")]
fn load_16(bytes: &[u8; OUTPUTS]) -> __m128i {
    // SAFETY: these are 16 bytes; no alignment is needed.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

/// The 16 f16 of one half of a line.
#[inline]
#[target_feature(enable = "avx512f")]
fn halves(line: &Line, half: usize) -> __m512 {
    let half = &line.as_chunks::<32>().0[half];
    // SAFETY: these are 32 bytes; no alignment is needed.
    _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(half.as_ptr().cast()) })
}
