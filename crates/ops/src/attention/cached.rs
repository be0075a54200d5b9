//! Attention of new tokens to the cached keys and values of their sequence.

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

use super::forward::{HeadInputs, HeadOutput, gather, softmax};
use super::{Attention, head_rows, tasks};
use crate::SeqBounds;
use crate::cpu::{blocked_sum, uninit, vectorized, view};

/// Keys and values of one sequence, for every layer: what decoding does not compute twice.
///
/// The layout is this type's secret: callers append rows, truncate, and hand it to [`forward_cached`].
pub struct KvCache {
    layers: Vec<Layer>,
    kv_width: usize,
}

#[derive(Default)]
struct Layer {
    keys: Vec<f32>,
    values: Vec<f32>,
}

impl KvCache {
    /// An empty cache for `layer_count` layers of `(tokens, G * D)` keys and values.
    pub fn new(layer_count: usize, attention: &Attention) -> Self {
        Self { layers: (0..layer_count).map(|_| Layer::default()).collect(), kv_width: attention.kv_width() }
    }

    /// Tokens held by every layer. While a step runs, the layers it has passed hold more.
    pub fn token_count(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer.keys.len() / self.kv_width)
    }

    /// Forgets all tokens from `token_count` on.
    pub fn truncate(&mut self, token_count: usize) {
        for layer in &mut self.layers {
            layer.keys.truncate(token_count * self.kv_width);
            layer.values.truncate(token_count * self.kv_width);
        }
    }

    /// Bytes held.
    pub fn byte_count(&self) -> usize {
        let values = self.layers.iter().map(|layer| layer.keys.capacity() + layer.values.capacity());
        values.sum::<usize>() * size_of::<f32>()
    }
}

/// Appends the new keys and values of a layer to each sequence's cache and attends to all of them.
///
/// * `qkv`: `(T, (H + 2 G) D)`: the new tokens of all sequences, in the order of `bounds`.
/// * `caches`: one per sequence, holding what precedes the new tokens in this layer.
/// * Returns `(T, H * D)` f32.
///
/// # Errors
/// When shapes or counts disagree.
pub fn forward_cached(
    qkv: &Tensor,
    bounds: &SeqBounds,
    layer: usize,
    caches: &mut [&mut KvCache],
    attention: &Attention,
) -> Result<Tensor> {
    attention.check(qkv, &[], bounds)?;
    if caches.len() != bounds.sequence_count() {
        bail!("attention: {} caches for {} sequences", caches.len(), bounds.sequence_count());
    }
    let (qkv_view, qkv_width) = (view("attention", qkv)?, attention.qkv_width());
    let values = qkv_view.f32()?;
    let (q_width, width, d) = (attention.q_width(), attention.kv_width(), attention.head_width);
    for (cache, range) in caches.iter_mut().zip(bounds.ranges()) {
        for row in values[range.start * qkv_width..range.end * qkv_width].chunks(qkv_width) {
            cache.layers[layer].keys.extend_from_slice(&row[q_width..q_width + width]);
            cache.layers[layer].values.extend_from_slice(&row[q_width + width..]);
        }
    }
    let layers: Vec<&Layer> = caches.iter().map(|cache| &cache.layers[layer]).collect();
    let heads: Vec<HeadOutput> = tasks(bounds, attention.head_count)
        .into_par_iter()
        .enumerate()
        .map(|(task, (range, head))| {
            let Layer { keys, values: kept } = layers[task / attention.head_count];
            if range.len() == 1 {
                let query = &values[range.start * qkv_width + head * d..][..d];
                return one_query(query, keys, kept, head, attention);
            }
            let (kv_rows, column) = (0..keys.len() / width, head / attention.group() * d);
            let q = head_rows(values, qkv_width, head * d, d, range);
            let k = head_rows(keys, width, column, d, kv_rows.clone());
            HeadInputs { attention, q, k, v: head_rows(kept, width, column, d, kv_rows) }.output()
        })
        .collect();
    Ok(gather(&heads, bounds, attention)?.0)
}

vectorized! {
    /// Decoding: a single query reads each key and value once, where they lie.
    fn one_query(
        query: &[f32],
        keys: &[f32],
        values: &[f32],
        head: usize,
        attention: &Attention,
    ) -> HeadOutput {
        let (d, width) = (attention.head_width, attention.kv_width());
        let column = head / attention.group() * d;
        let visible = attention.visible(keys.len() / width - 1);
        let mut scores = uninit(visible.len());
        for (score, token) in scores.iter_mut().zip(visible.clone()) {
            let key = &keys[token * width + column..][..d];
            *score = blocked_sum(d, |i| query[i] * key[i]) * attention.scale();
        }
        let all = 0..scores.len();
        let lse = softmax(&mut scores, all);
        let mut out = vec![0.0; d];
        for (weight, token) in scores.iter().zip(visible) {
            for (out, value) in out.iter_mut().zip(&values[token * width + column..][..d]) {
                *out += weight * value;
            }
        }
        HeadOutput {
            out,
            lse: vec![lse],
        }
    }
}
