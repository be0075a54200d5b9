//! Products with few rows of activations, as in decoding: every weight row is read once, straight from memory.

use half::bf16;
use rayon::prelude::*;

use super::{Precision, has_bf16_kernel};
use crate::cpu::{Values, vectorized};

/// Lanes of the interleaved partial sums. A fixed number: every processor adds in the same order.
const LANES: usize = 16;
/// Vectors handled in one pass over a weight row.
const VECTORS: usize = 4;
/// Weight rows of one task.
const TASK_ROWS: usize = 64;

/// `out[t, n] = sum_k x[t, k] * weight[n, k]`, with the factors that [`super::gemm`] would multiply in this precision:
/// where it rounds `x` to bf16, so does this, and only the order of the f32 sums differs.
///
/// * `weight`: `(N, K)` row-major; `x`: `(T, K)`; `out`: `(T, N)`. Meant for `T` up to about 8.
///
/// Bound by reading the weight: no packing, one pass over memory for every four rows of `x`.
pub(crate) fn rows_times_vectors(
    precision: Precision,
    weight: Values<'_>,
    x: &[f32],
    k: usize,
    out: &mut [f32],
) {
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
    by_row
        .par_chunks_mut(TASK_ROWS * t)
        .enumerate()
        .for_each(|(task, chunk)| {
            vectorized(|| {
                for (offset, sums) in chunk.chunks_mut(t).enumerate() {
                    let row = task * TASK_ROWS + offset;
                    match weight {
                        Values::F32(values) => dot_all(&values[row * k..][..k], |w| *w, x, sums),
                        Values::Bf16(values) => dot_all(&values[row * k..][..k], widen, x, sums),
                    }
                }
            });
        });
    for (row, sums) in by_row.chunks(t).enumerate() {
        for (vector, sum) in sums.iter().enumerate() {
            out[vector * n + row] = *sum;
        }
    }
}

#[inline(always)]
fn widen(value: &bf16) -> f32 {
    f32::from_bits((value.to_bits() as u32) << 16)
}

/// Dot products of one weight row with every row of `x`.
#[inline(always)]
fn dot_all<W>(weight: &[W], to_f32: impl Fn(&W) -> f32 + Copy, x: &[f32], sums: &mut [f32]) {
    let k = weight.len();
    let mut vectors = x.chunks_exact(VECTORS * k);
    let mut outputs = sums.chunks_exact_mut(VECTORS);
    for (x, out) in (&mut vectors).zip(&mut outputs) {
        out.copy_from_slice(&dot::<W, VECTORS>(weight, to_f32, x));
    }
    let rest = vectors.remainder().chunks_exact(k);
    for (x, out) in rest.zip(outputs.into_remainder()) {
        *out = dot::<W, 1>(weight, to_f32, x)[0];
    }
}

#[inline(always)]
fn dot<W, const N: usize>(weight: &[W], to_f32: impl Fn(&W) -> f32 + Copy, x: &[f32]) -> [f32; N] {
    let k = weight.len();
    let mut lanes = [[0f32; LANES]; N];
    let rows: [&[f32]; N] = std::array::from_fn(|i| &x[i * k..(i + 1) * k]);
    let whole = k - k % LANES;
    let mut at = 0;
    while at < whole {
        let w: &[W; LANES] = weight[at..at + LANES].try_into().expect("LANES values");
        let w: [f32; LANES] = std::array::from_fn(|lane| to_f32(&w[lane]));
        for (row, sums) in rows.iter().zip(&mut lanes) {
            let x: &[f32; LANES] = row[at..at + LANES].try_into().expect("LANES values");
            for lane in 0..LANES {
                sums[lane] = x[lane].mul_add(w[lane], sums[lane]);
            }
        }
        at += LANES;
    }
    for index in whole..k {
        for (row, sums) in rows.iter().zip(&mut lanes) {
            sums[index - whole] = row[index].mul_add(to_f32(&weight[index]), sums[index - whole]);
        }
    }
    std::array::from_fn(|i| lanes[i].iter().sum())
}
