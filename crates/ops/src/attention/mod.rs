//! Causal attention of ragged batches: grouped key/value heads, optional sliding window.
//!
//! Query `i` of a sequence sees keys `j <= i`, and with a window of `w` only those with `i - w < j`. Scores exist for
//! one block of queries at a time; [`forward`] keeps the log-sum-exp of every row so that [`backward`] can compute
//! the block's probabilities again (Dao et al. 2022, FlashAttention, algorithms 1 and 4).
mod backward;
mod cached;
mod forward;

use std::ops::Range;

use candle_core::{Result, Tensor, bail};

pub use backward::{Saved, backward};
pub use cached::{KvCache, forward_cached};
pub use forward::forward;

use crate::SeqBounds;
use crate::cpu::Values;
use crate::gemm::{Matrix, Precision};

/// Queries whose scores exist at once.
const QUERY_BLOCK: usize = 96;

/// Heads, width and masking of an attention layer.
#[derive(Debug, Clone, Copy)]
pub struct Attention {
    /// Query heads, `H`.
    pub head_count: usize,
    /// Key/value heads, `G`; a divisor of `H`. Query head `h` reads key head `h / (H / G)`.
    pub kv_head_count: usize,
    /// Width of a head, `D`.
    pub head_width: usize,
    /// Keys a query sees, itself included; `None` for all before it.
    pub window: Option<usize>,
    /// Precision of the products with keys and values.
    pub precision: Precision,
}

impl Attention {
    /// Factor on the scores, `1 / sqrt(D)`.
    fn scale(&self) -> f32 {
        1.0 / (self.head_width as f32).sqrt()
    }

    fn group(&self) -> usize {
        self.head_count / self.kv_head_count
    }

    fn q_width(&self) -> usize {
        self.head_count * self.head_width
    }

    fn kv_width(&self) -> usize {
        self.kv_head_count * self.head_width
    }

    /// Keys that the query at `position` sees.
    fn visible(&self, position: usize) -> Range<usize> {
        let first = self.window.map_or(0, |window| (position + 1).saturating_sub(window));
        first..position + 1
    }

    fn check(&self, q: &Tensor, k: &Tensor, v: &Tensor, bounds: &SeqBounds) -> Result<()> {
        if self.kv_head_count == 0 || !self.head_count.is_multiple_of(self.kv_head_count) {
            bail!("attention: {} heads over {} key/value heads", self.head_count, self.kv_head_count);
        }
        let t = bounds.token_count();
        let (q_want, kv_want) = ([t, self.q_width()], [t, self.kv_width()]);
        if q.dims() != q_want || k.dims() != kv_want || v.dims() != kv_want {
            bail!(
                "attention: q {:?}, k {:?}, v {:?}; expected {q_want:?} and {kv_want:?}",
                q.dims(),
                k.dims(),
                v.dims()
            );
        }
        Ok(())
    }
}

/// `rows` of one head out of a `(T, heads * D)` buffer.
fn head_rows(values: &[f32], width: usize, head: usize, head_width: usize, rows: Range<usize>) -> Matrix<'_> {
    let start = rows.start * width + head * head_width;
    let end = if rows.is_empty() { start } else { (rows.end - 1) * width + (head + 1) * head_width };
    Matrix::rows(Values::F32(&values[start..end]), rows.len(), head_width, width)
}

/// One task per sequence and head, in order.
fn tasks(bounds: &SeqBounds, head_count: usize) -> Vec<(Range<usize>, usize)> {
    bounds.ranges().flat_map(|range| (0..head_count).map(move |head| (range.clone(), head))).collect()
}

#[cfg(test)]
mod tests;
