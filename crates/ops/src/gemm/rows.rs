//! Products with few rows of activations, as in decoding: every weight row is read once, straight from memory.

use half::bf16;
use rayon::prelude::*;

use super::{Precision, has_bf16_kernel};
use crate::cpu::{Values, vectorized};

/// Lanes of the interleaved partial sums: four vectors of AVX-512, so that additions do not wait for each other. A
/// fixed number: every processor adds in the same order.
const LANES: usize = 64;
/// Weight rows of one task.
const TASK_ROWS: usize = 64;

/// `out[t, n] = sum_k x[t, k] * weight[n, k]`, with the factors that [`super::gemm`] would multiply in this precision:
/// where it rounds `x` to bf16, so does this, and only the order of the f32 sums differs.
///
/// * `weight`: `(N, K)` row-major; `x`: `(T, K)`; `out`: `(T, N)`. Meant for `T` up to about 8.
///
/// Bound by reading the weight: no packing, one pass over memory.
pub(crate) fn rows_times_vectors(precision: Precision, weight: Values<'_>, x: &[f32], k: usize, out: &mut [f32]) {
    let rounded: Vec<f32>;
    let x = if precision == Precision::Bf16 && has_bf16_kernel() {
        rounded = x.iter().map(|x| bf16::from_f32(*x).to_f32()).collect();
        &rounded
    } else {
        x
    };
    let n = out.len() * k / x.len();
    let t = x.len() / k;
    let mut by_row = vec![0f32; n * t]; // (N, T): tasks write whole rows
    by_row.par_chunks_mut(TASK_ROWS * t).enumerate().for_each(|(task, chunk)| {
        let first = task * TASK_ROWS;
        let rows = first * k..(first + chunk.len() / t) * k;
        match weight {
            Values::F32(values) => f32_dots(&values[rows], x, k, chunk),
            Values::Bf16(values) => bf16_dots(&values[rows], x, k, chunk),
        }
    });
    for (row, sums) in by_row.chunks(t).enumerate() {
        for (vector, sum) in sums.iter().enumerate() {
            out[vector * n + row] = *sum;
        }
    }
}

vectorized! {
    /// `sums[n, t]` of f32 weight rows.
    fn f32_dots(weight: &[f32], x: &[f32], k: usize, sums: &mut [f32]) {
        dots(weight, |w| w, x, k, sums);
    }

    /// `sums[n, t]` of bf16 weight rows.
    fn bf16_dots(weight: &[bf16], x: &[f32], k: usize, sums: &mut [f32]) {
        dots(weight, |w| f32::from_bits((w.to_bits() as u32) << 16), x, k, sums);
    }
}

/// Every weight row times every row of `x`. A weight row stays in the first-level cache while the rows of `x` pass.
#[inline(always)]
fn dots<W: Copy>(weight: &[W], to_f32: impl Fn(W) -> f32 + Copy, x: &[f32], k: usize, sums: &mut [f32]) {
    let t = x.len() / k;
    for (weight, sums) in weight.chunks_exact(k).zip(sums.chunks_exact_mut(t)) {
        for (x, sum) in x.chunks_exact(k).zip(sums) {
            *sum = dot(weight, to_f32, x);
        }
    }
}

#[inline(always)]
fn dot<W: Copy>(weight: &[W], to_f32: impl Fn(W) -> f32 + Copy, x: &[f32]) -> f32 {
    let mut lanes = [0f32; LANES];
    let (weights, xs) = (weight.chunks_exact(LANES), x.chunks_exact(LANES));
    let rest = weights.remainder().iter().zip(xs.remainder());
    for (w, x) in weights.zip(xs) {
        for lane in 0..LANES {
            lanes[lane] += x[lane] * to_f32(w[lane]);
        }
    }
    for (lane, (w, x)) in lanes.iter_mut().zip(rest) {
        *lane += x * to_f32(*w);
    }
    lanes.iter().sum()
}
