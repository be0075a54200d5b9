//! The language-model head and its loss, on supervised rows only and in chunks: the logits of a batch never exist at
//! once.

use candle_core::{DType, Result, Tensor, bail};
use rayon::prelude::*;

use crate::cpu::{Values, blocked_sum, exp, tensor, uninit, vectorized, view};
use crate::gemm::{Matrix, Precision, Threads, gemm};

/// Rows whose logits exist at once: 128 x 49,152 f32 are 24 MiB.
const CHUNK_ROWS: usize = 128;

/// Sum over the rows of `-log softmax(hidden headᵀ)[label]`.
///
/// * `hidden`: `(N, C)` f32, already normed; `head`: `(V, C)`, f32 or bf16; `labels`: N ids below V.
///
/// # Errors
/// When the counts disagree or a label is outside the vocabulary.
pub fn forward(hidden: &Tensor, head: &Tensor, labels: &[u32]) -> Result<f64> {
    Ok(run(hidden, head, labels, None)?.0)
}

/// The loss of [`forward`] together with the gradient of `scale * loss` for `hidden`, `(N, C)`.
///
/// `dlogits = scale (softmax - onehot)` takes the place of the logits, chunk by chunk; the frozen head gets none.
///
/// # Errors
/// As [`forward`].
pub fn forward_backward(
    hidden: &Tensor,
    head: &Tensor,
    labels: &[u32],
    scale: f32,
) -> Result<(f64, Tensor)> {
    let (loss, gradient) = run(hidden, head, labels, Some(scale))?;
    Ok((loss, tensor(gradient, hidden.dims())?))
}

fn run(
    hidden: &Tensor,
    head: &Tensor,
    labels: &[u32],
    scale: Option<f32>,
) -> Result<(f64, Vec<f32>)> {
    let ((n, c), (v, head_c)) = (hidden.dims2()?, head.dims2()?);
    if n != labels.len() || c != head_c {
        bail!(
            "cross entropy: hidden is {n} x {c}, the head {v} x {head_c}, {} labels",
            labels.len()
        );
    }
    if let Some(label) = labels.iter().find(|label| **label as usize >= v) {
        bail!("label {label} outside a vocabulary of {v}");
    }
    let precision = match head.dtype() {
        DType::BF16 => Precision::Bf16,
        _ => Precision::F32,
    };
    let (hidden_view, head_view) = (view("cross_entropy", hidden)?, view("cross_entropy", head)?);
    let (rows, head) = (hidden_view.f32()?, Matrix::dense(head_view.values()?, v, c));
    let mut gradient = uninit(if scale.is_some() { n * c } else { 0 });
    let mut logits = uninit(CHUNK_ROWS.min(n) * v);
    let mut loss = 0.0;
    for (chunk, labels) in labels.chunks(CHUNK_ROWS).enumerate() {
        let start = chunk * CHUNK_ROWS * c;
        let x = Matrix::dense(
            Values::F32(&rows[start..start + labels.len() * c]),
            labels.len(),
            c,
        );
        let logits = &mut logits[..labels.len() * v];
        gemm(precision, Threads::Pool, 1.0, x, head.t(), 0.0, logits, v);
        loss += rows_loss(logits, labels, v, scale);
        if scale.is_some() {
            let dlogits = Matrix::dense(Values::F32(logits), labels.len(), v);
            let out = &mut gradient[start..start + labels.len() * c];
            gemm(precision, Threads::Pool, 1.0, dlogits, head, 0.0, out, c);
        }
    }
    Ok((loss, gradient))
}

/// Losses of a chunk, summed in row order; with a scale the logits become their own gradient.
fn rows_loss(logits: &mut [f32], labels: &[u32], v: usize, scale: Option<f32>) -> f64 {
    let losses: Vec<f64> = logits
        .par_chunks_mut(v)
        .zip(labels)
        .map(|(row, label)| vectorized(|| row_loss(row, *label as usize, scale)))
        .collect();
    losses.iter().sum()
}

#[inline(always)]
fn row_loss(row: &mut [f32], label: usize, scale: Option<f32>) -> f64 {
    let max = row_max(row);
    let target = row[label];
    let sum = blocked_sum(row.len(), |i| exp(row[i] - max));
    if let Some(scale) = scale {
        let factor = scale / sum;
        for value in row.iter_mut() {
            *value = exp(*value - max) * factor;
        }
        row[label] -= scale;
    }
    (sum as f64).ln() + max as f64 - target as f64
}

/// Largest value of a row, in lanes so that it vectorises.
#[inline(always)]
pub(crate) fn row_max(row: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; 16];
    let chunks = row.chunks_exact(16);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane = if *value > *lane { *value } else { *lane };
        }
    }
    lanes
        .iter()
        .chain(rest)
        .fold(f32::NEG_INFINITY, |a, b| a.max(*b))
}
