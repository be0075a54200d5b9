//! Attention against a plain f64 implementation, and its gradient against finite differences.

use candle_core::{Device, Tensor};

use super::*;

const D: usize = 8;

fn numbers(rows: usize, width: usize, seed: u32) -> Tensor {
    let mut state = seed;
    let values: Vec<f32> = (0..rows * width)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 22) as f32 - 2.0
        })
        .collect();
    Tensor::from_vec(values, (rows, width), &Device::Cpu).unwrap()
}

fn rows(tensor: &Tensor) -> Vec<Vec<f64>> {
    let rows = tensor.to_vec2::<f32>().unwrap();
    rows.into_iter().map(|row| row.into_iter().map(f64::from).collect()).collect()
}

fn attention(window: Option<usize>) -> Attention {
    Attention { head_count: 4, kv_head_count: 2, head_width: D, window, precision: Precision::F32 }
}

/// The definition, in f64.
fn reference(qkv: &Tensor, bounds: &SeqBounds, a: &Attention) -> Vec<Vec<f64>> {
    let qkv = rows(qkv);
    let mut out = vec![vec![0.0; a.q_width()]; qkv.len()];
    for range in bounds.ranges() {
        for i in range.clone() {
            for head in 0..a.head_count {
                let (k, v) = a.kv_columns(head);
                let first = a.window.map_or(range.start, |w| (i + 1).saturating_sub(w).max(range.start));
                let score = |j: usize| -> f64 {
                    let dot: f64 = (0..D).map(|x| qkv[i][head * D + x] * qkv[j][k + x]).sum();
                    (dot / (D as f64).sqrt()).exp()
                };
                let total: f64 = (first..=i).map(score).sum();
                for x in 0..D {
                    out[i][head * D + x] = (first..=i).map(|j| score(j) / total * qkv[j][v + x]).sum();
                }
            }
        }
    }
    out
}

fn largest_difference(got: &Tensor, want: &[Vec<f64>]) -> f64 {
    let got = rows(got);
    let pairs = got.iter().flatten().zip(want.iter().flatten());
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// Sequences of one token, of several blocks, and an empty one.
fn bounds() -> SeqBounds {
    SeqBounds::from_lengths([1, 7, 0, 205])
}

#[test]
fn forward_agrees_with_the_definition() {
    let bounds = bounds();
    let t = bounds.token_count();
    for window in [None, Some(1), Some(16), Some(1000)] {
        let a = attention(window);
        let qkv = numbers(t, 64, 1);
        let (out, _) = forward(&qkv, &bounds, &a).unwrap();
        let difference = largest_difference(&out, &reference(&qkv, &bounds, &a));
        assert!(difference < 1e-5, "window {window:?}: {difference}");
    }
}

#[test]
fn backward_agrees_with_finite_differences() {
    let bounds = SeqBounds::from_lengths([3, 0, 110]);
    let t = bounds.token_count();
    for window in [None, Some(5)] {
        let a = attention(window);
        let (qkv, dout) = (numbers(t, 64, 1), numbers(t, 32, 4));
        let (out, lse) = forward(&qkv, &bounds, &a).unwrap();
        let dqkv = backward(&dout, &Saved { qkv: &qkv, out: &out, lse: &lse }, &bounds, &a).unwrap();
        let objective = |qkv: &Tensor| -> f64 {
            let out = reference(qkv, &bounds, &a);
            out.iter().flatten().zip(rows(&dout).iter().flatten()).map(|(a, b)| a * b).sum()
        };
        let got = dqkv.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        // Columns of queries, keys and values in rows near both ends.
        for index in [0, 17, 35, 50, 63, got.len() / 2, got.len() - 90, got.len() - 20, got.len() - 1] {
            let moved = |delta: f32| {
                let mut values = qkv.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                values[index] += delta;
                objective(&Tensor::from_vec(values, qkv.dims(), &Device::Cpu).unwrap())
            };
            let step = 1.0 / 512.0;
            let want = (moved(step) - moved(-step)) / (2.0 * step as f64);
            let error = (got[index] as f64 - want).abs();
            assert!(error < 2e-3 * (1.0 + want.abs()), "{index}: {} != {want}", got[index]);
        }
    }
}
