//! Attention backward: probabilities again from the log-sum-exp, block of queries by block of queries.

use std::ops::Range;

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

use super::{Attention, QUERY_BLOCK, head_rows, tasks};
use crate::SeqBounds;
use crate::cpu::{Values, blocked_sum, exp, for_each_row, tensor, uninit, vectorized, view};
use crate::gemm::{Matrix, Threads, gemm};

/// What [`super::forward`] took and gave.
pub struct Saved<'a> {
    /// Queries, `(T, H * D)`.
    pub q: &'a Tensor,
    /// Keys, `(T, G * D)`.
    pub k: &'a Tensor,
    /// Values, `(T, G * D)`.
    pub v: &'a Tensor,
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
/// * `dout`: `(T, H * D)` f32. Returns `(dq, dk, dv)` in the shapes of `q`, `k`, `v`.
///
/// # Errors
/// When the shapes disagree.
pub fn backward(
    dout: &Tensor,
    saved: &Saved<'_>,
    bounds: &SeqBounds,
    attention: &Attention,
) -> Result<(Tensor, Tensor, Tensor)> {
    attention.check(saved.q, saved.k, saved.v, bounds)?;
    attention.check(dout, saved.k, saved.v, bounds)?;
    attention.check(saved.out, saved.k, saved.v, bounds)?;
    if saved.lse.dims() != [bounds.token_count(), attention.head_count] {
        bail!("attention backward: the log-sum-exp is {:?}", saved.lse.dims());
    }
    let op = "attention backward";
    let (q, k, v) = (view(op, saved.q)?, view(op, saved.k)?, view(op, saved.v)?);
    let (out, lse, dout) = (view(op, saved.out)?, view(op, saved.lse)?, view(op, dout)?);
    let buffers =
        Buffers { q: q.f32()?, k: k.f32()?, v: v.f32()?, out: out.f32()?, lse: lse.f32()?, dout: dout.f32()? };
    let heads: Vec<HeadGradients> = tasks(bounds, attention.head_count)
        .par_iter()
        .map(|(range, head)| buffers.head_gradients(attention, range.clone(), *head))
        .collect();
    gather(&heads, bounds, attention)
}

struct Buffers<'a> {
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
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
        let (q_width, kv_width) = (attention.q_width(), attention.kv_width());
        let q = head_rows(self.q, q_width, head, d, range.clone());
        let dout = head_rows(self.dout, q_width, head, d, range.clone());
        let kv_head = head / attention.group();
        let k = head_rows(self.k, kv_width, kv_head, d, range.clone());
        let v = head_rows(self.v, kv_width, kv_head, d, range.clone());
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
fn gather(heads: &[HeadGradients], bounds: &SeqBounds, attention: &Attention) -> Result<(Tensor, Tensor, Tensor)> {
    let (t, h, d, group) = (bounds.token_count(), attention.head_count, attention.head_width, attention.group());
    let (q_width, kv_width) = (attention.q_width(), attention.kv_width());
    let (mut dq, mut dk, mut dv) = (uninit(t * q_width), uninit(t * kv_width), uninit(t * kv_width));
    for (sequence, range) in bounds.ranges().enumerate() {
        let heads = &heads[sequence * h..(sequence + 1) * h];
        for_each_row(&mut dq[range.start * q_width..range.end * q_width], q_width, |row, dq| {
            for (head, dq) in heads.iter().zip(dq.chunks_mut(d)) {
                dq.copy_from_slice(&head.dq[row * d..(row + 1) * d]);
            }
        });
        let sum = |out: &mut [f32], part: fn(&HeadGradients) -> &[f32]| {
            for_each_row(&mut out[range.start * kv_width..range.end * kv_width], kv_width, |row, out| {
                for (group, out) in heads.chunks(group).zip(out.chunks_mut(d)) {
                    out.fill(0.0);
                    for head in group {
                        for (sum, x) in out.iter_mut().zip(&part(head)[row * d..(row + 1) * d]) {
                            *sum += x;
                        }
                    }
                }
            });
        };
        sum(&mut dk, |head| &head.dk);
        sum(&mut dv, |head| &head.dv);
    }
    Ok((tensor(dq, (t, q_width))?, tensor(dk, (t, kv_width))?, tensor(dv, (t, kv_width))?))
}
