//! Attention backward: probabilities again from the log-sum-exp, block of queries by block of queries.

use std::ops::Range;

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

use super::{Attention, QUERY_BLOCK, head_rows, on_card, tasks};
use crate::SeqBounds;
use crate::cpu::{Values, blocked_sum, exp, for_each_row, tensor, uninit, vectorized, view};
use crate::gemm::{Matrix, Threads, gemm};
use crate::gpu::Gpu;

/// What [`super::forward`] took and gave.
pub struct Saved<'a> {
    /// Queries, keys and values, `(T, (H + 2 G) D)`.
    pub qkv: &'a Tensor,
    /// Attention output, `(T, H * D)`.
    pub out: &'a Tensor,
    /// Log-sum-exp of the scores, `(T, H)`.
    pub lse: &'a Tensor,
}

/// Gradients of queries, keys and values.
///
/// With `P` the probabilities and `delta_i = sum_d dout_id out_id`: `dV = Pᵀ dout`,
/// `dS = P * (dout Vᵀ - delta) / sqrt(D)`, `dQ = dS K`, `dK = dSᵀ Q`. Heads of a group add up in order, without
/// atomics: the same input gives the same bits.
///
/// * `dout`: `(T, H * D)`. Returns `dqkv`, shaped as `qkv`.
///
/// # Errors
/// When the shapes disagree.
pub fn backward(dout: &Tensor, saved: &Saved<'_>, bounds: &SeqBounds, attention: &Attention) -> Result<Tensor> {
    attention.check(saved.qkv, &[dout, saved.out], bounds)?;
    if saved.lse.dims() != [bounds.token_count(), attention.head_count] {
        bail!("attention backward: the log-sum-exp is {:?}", saved.lse.dims());
    }
    if let Some(gpu) = Gpu::of(dout) {
        return on_card::backward(&gpu, dout, saved, bounds, attention);
    }
    let op = "attention backward";
    let (qkv, out, lse, dout) = (view(op, saved.qkv)?, view(op, saved.out)?, view(op, saved.lse)?, view(op, dout)?);
    let buffers = Buffers { qkv: qkv.f32()?, out: out.f32()?, lse: lse.f32()?, dout: dout.f32()? };
    let heads: Vec<HeadGradients> = tasks(bounds, attention.head_count)
        .par_iter()
        .map(|(range, head)| buffers.head_gradients(attention, range.clone(), *head))
        .collect();
    gather(&heads, bounds, attention)
}

struct Buffers<'a> {
    qkv: &'a [f32],
    out: &'a [f32],
    lse: &'a [f32],
    dout: &'a [f32],
}

/// Gradients of one query head of one sequence, each `(L, D)`; `dk` and `dv` are this head's share.
struct HeadGradients {
    dq: Vec<f32>,
    dk: Vec<f32>,
    dv: Vec<f32>,
}

impl Buffers<'_> {
    fn head_gradients(&self, attention: &Attention, range: Range<usize>, head: usize) -> HeadGradients {
        let (len, d, precision) = (range.len(), attention.head_width, attention.precision);
        let (k, v) = attention.kv_columns(head);
        let rows = |column| head_rows(self.qkv, attention.qkv_width(), column, d, range.clone());
        let (q, k, v) = (rows(head * d), rows(k), rows(v));
        let dout = head_rows(self.dout, attention.q_width(), head * d, d, range.clone());
        let mut gradients = HeadGradients { dq: uninit(len * d), dk: vec![0.0; len * d], dv: vec![0.0; len * d] };
        let (mut p, mut ds) = (Vec::new(), Vec::new());
        for start in (0..len).step_by(QUERY_BLOCK) {
            let block = start..(start + QUERY_BLOCK).min(len);
            let keys = attention.visible(block.start).start..block.end;
            let (rows, cols) = (block.len(), keys.len());
            p.resize(rows * cols, 0.0);
            ds.resize(rows * cols, 0.0);
            let (q, dout) = (q.slice(block.clone()), dout.slice(block.clone()));
            let (k, v) = (k.slice(keys.clone()), v.slice(keys.clone()));
            gemm(precision, Threads::Caller, attention.scale(), q, k.t(), 0.0, (&mut p, cols));
            gemm(precision, Threads::Caller, 1.0, dout, v.t(), 0.0, (&mut ds, cols));
            let place = Place { attention, head, first: range.start, block: block.clone(), keys: keys.clone() };
            self.score_gradients(&place, &mut p, &mut ds);
            let p = Matrix::dense(Values::F32(&p), rows, cols);
            let ds = Matrix::dense(Values::F32(&ds), rows, cols);
            let (from, to) = (keys.start * d, keys.end * d);
            gemm(precision, Threads::Caller, 1.0, p.t(), dout, 1.0, (&mut gradients.dv[from..to], d));
            gemm(precision, Threads::Caller, 1.0, ds.t(), q, 1.0, (&mut gradients.dk[from..to], d));
            let dq = &mut gradients.dq[block.start * d..block.end * d];
            gemm(precision, Threads::Caller, 1.0, ds, k, 0.0, (dq, d));
        }
        gradients
    }

    /// Turns scores into probabilities and `dout Vᵀ` into gradients of the unscaled scores, in place.
    fn score_gradients(&self, place: &Place<'_>, p: &mut [f32], ds: &mut [f32]) {
        let (d, h) = (place.attention.head_width, place.attention.head_count);
        let (scale, cols) = (place.attention.scale(), place.keys.len());
        for (row, (p, ds)) in p.chunks_mut(cols).zip(ds.chunks_mut(cols)).enumerate() {
            let position = place.block.start + row;
            let token = place.first + position;
            let at = (token * h + place.head) * d;
            let (out, dout) = (&self.out[at..at + d], &self.dout[at..at + d]);
            let delta = dot(out, dout);
            let lse = self.lse[token * h + place.head];
            let visible = place.attention.visible(position);
            let visible = visible.start - place.keys.start..visible.end - place.keys.start;
            score_gradient(p, ds, visible, lse, delta, scale);
        }
    }
}

vectorized! {
    pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
        let b = &b[..a.len()];
        blocked_sum(a.len(), |i| a[i] * b[i])
    }

    fn score_gradient(p: &mut [f32], ds: &mut [f32], visible: Range<usize>, lse: f32, delta: f32, scale: f32) {
        for values in [&mut *p, &mut *ds] {
            values[..visible.start].fill(0.0);
            values[visible.end..].fill(0.0);
        }
        for (p, ds) in p[visible.clone()].iter_mut().zip(&mut ds[visible]) {
            *p = exp(*p - lse);
            *ds = *p * (*ds - delta) * scale;
        }
    }
}

/// Where a block of scores stands.
struct Place<'a> {
    attention: &'a Attention,
    head: usize,
    first: usize,
    block: Range<usize>,
    keys: Range<usize>,
}

/// Puts the heads side by side; key and value heads sum the query heads of their group.
fn gather(heads: &[HeadGradients], bounds: &SeqBounds, attention: &Attention) -> Result<Tensor> {
    let (t, h, d, group) = (bounds.token_count(), attention.head_count, attention.head_width, attention.group());
    let (width, q_width, kv_width) = (attention.qkv_width(), attention.q_width(), attention.kv_width());
    let mut gradients = uninit(t * width);
    for (sequence, range) in bounds.ranges().enumerate() {
        let heads = &heads[sequence * h..(sequence + 1) * h];
        for_each_row(&mut gradients[range.start * width..range.end * width], width, |row, gradients| {
            let values = row * d..(row + 1) * d;
            let (dq, dkv) = gradients.split_at_mut(q_width);
            for (head, dq) in heads.iter().zip(dq.chunks_mut(d)) {
                dq.copy_from_slice(&head.dq[values.clone()]);
            }
            let (dk, dv) = dkv.split_at_mut(kv_width);
            let groups = heads.chunks(group).zip(dk.chunks_mut(d).zip(dv.chunks_mut(d)));
            for (group, (dk, dv)) in groups {
                dk.fill(0.0);
                dv.fill(0.0);
                for head in group {
                    add_to(dk, &head.dk[values.clone()]);
                    add_to(dv, &head.dv[values.clone()]);
                }
            }
        });
    }
    tensor(gradients, (t, width))
}

fn add_to(sum: &mut [f32], x: &[f32]) {
    for (sum, x) in sum.iter_mut().zip(x) {
        *sum += x;
    }
}
