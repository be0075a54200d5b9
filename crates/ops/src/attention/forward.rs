//! Attention forward over whole sequences.

use std::ops::Range;

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::{Attention, QUERY_BLOCK, head_rows, on_card, tasks};
use crate::SeqBounds;
use crate::cpu::{Values, blocked_sum, exp, for_each_row, row_max, tensor, uninit, vectorized, view};
use crate::gemm::{Matrix, Threads, gemm};
use crate::gpu::Gpu;

/// Attention output and the log-sum-exp of every row's scaled scores.
///
/// * `qkv`: `(T, (H + 2 G) D)`, queries and keys rotated already.
/// * Returns `out` `(T, H * D)` in its dtype and `lse` `(T, H)`, f32.
///
/// # Errors
/// When the shapes disagree; the message gives them.
pub fn forward(qkv: &Tensor, bounds: &SeqBounds, attention: &Attention) -> Result<(Tensor, Tensor)> {
    attention.check(qkv, &[], bounds)?;
    if let Some(gpu) = Gpu::of(qkv) {
        return on_card::forward(&gpu, qkv, bounds, attention);
    }
    let (qkv_view, width) = (view("attention", qkv)?, attention.qkv_width());
    let values = qkv_view.f32()?;
    let heads: Vec<HeadOutput> = tasks(bounds, attention.head_count)
        .par_iter()
        .map(|(range, head)| {
            let d = attention.head_width;
            let (k, v) = attention.kv_columns(*head);
            let rows = |column| head_rows(values, width, column, d, range.clone());
            HeadInputs { attention, q: rows(head * d), k: rows(k), v: rows(v) }.output()
        })
        .collect();
    gather(&heads, bounds, attention)
}

/// Puts the heads' outputs side by side: `(T, H * D)` and `(T, H)`.
pub(super) fn gather(heads: &[HeadOutput], bounds: &SeqBounds, attention: &Attention) -> Result<(Tensor, Tensor)> {
    let (t, h, d) = (bounds.token_count(), attention.head_count, attention.head_width);
    let (mut out, mut lse) = (uninit(t * h * d), uninit(t * h));
    for (sequence, range) in bounds.ranges().enumerate() {
        let heads = &heads[sequence * h..(sequence + 1) * h];
        for_each_row(&mut out[range.start * h * d..range.end * h * d], h * d, |row, out| {
            for (head, out) in heads.iter().zip(out.chunks_mut(d)) {
                out.copy_from_slice(&head.out[row * d..(row + 1) * d]);
            }
        });
        for (row, lse) in lse[range.start * h..range.end * h].chunks_mut(h).enumerate() {
            for (head, lse) in heads.iter().zip(lse) {
                *lse = head.lse[row];
            }
        }
    }
    Ok((tensor(out, (t, h * d))?, tensor(lse, (t, h))?))
}

/// One head of one sequence: `(Q, D)` and `(Q,)`.
pub(super) struct HeadOutput {
    pub(super) out: Vec<f32>,
    pub(super) lse: Vec<f32>,
}

/// Views of one head of one sequence. The queries are the last ones: query `i` stands at `kv - queries + i`.
pub(super) struct HeadInputs<'a> {
    pub(super) attention: &'a Attention,
    pub(super) q: Matrix<'a>,
    pub(super) k: Matrix<'a>,
    pub(super) v: Matrix<'a>,
}

impl HeadInputs<'_> {
    pub(super) fn output(&self) -> HeadOutput {
        let (queries, d) = (self.q.rows, self.attention.head_width);
        let first = self.k.rows - queries;
        let mut result = HeadOutput { out: uninit(queries * d), lse: uninit(queries) };
        let mut scores = Vec::new();
        for start in (0..queries).step_by(QUERY_BLOCK) {
            let block = start..(start + QUERY_BLOCK).min(queries);
            let keys = self.attention.visible(first + block.start).start..first + block.end;
            scores.resize(block.len() * keys.len(), 0.0);
            let (q, k, v) = (self.q.slice(block.clone()), self.k.slice(keys.clone()), self.v.slice(keys.clone()));
            let precision = self.attention.precision;
            gemm(precision, Threads::Caller, self.attention.scale(), q, k.t(), 0.0, (&mut scores, keys.len()));
            for (row, scores) in scores.chunks_mut(keys.len()).enumerate() {
                let visible = self.attention.visible(first + block.start + row);
                let visible = visible.start - keys.start..visible.end - keys.start;
                result.lse[block.start + row] = softmax(scores, visible);
            }
            let p = Matrix::dense(Values::F32(&scores), block.len(), keys.len());
            let out = &mut result.out[block.start * d..block.end * d];
            gemm(precision, Threads::Caller, 1.0, p, v, 0.0, (out, d));
        }
        result
    }
}

vectorized! {
    /// Softmax over the visible part of a row, zeros elsewhere; returns the log-sum-exp.
    pub(super) fn softmax(row: &mut [f32], visible: Range<usize>) -> f32 {
        row[..visible.start].fill(0.0);
        row[visible.end..].fill(0.0);
        let row = &mut row[visible];
        let max = row_max(row);
        for score in row.iter_mut() {
            *score = exp(*score - max);
        }
        let sum = blocked_sum(row.len(), |i| row[i]);
        let inverse = 1.0 / sum;
        for score in row.iter_mut() {
            *score *= inverse;
        }
        max + sum.ln()
    }
}
