//! Causal attention of ragged batches: grouped key/value heads, optional sliding window.
//!
//! Queries, keys and values lie side by side in one buffer, as one projection gives them: a row of `qkv` has `H` query
//! heads, then `G` key heads, then `G` value heads, each `D` wide.
//!
//! Query `i` of a sequence sees keys `j <= i`, and with a window of `w` only those with `i - w < j`. Scores exist for
//! one block of queries at a time; [`forward`] keeps the log-sum-exp of every row so that [`backward`] can compute
//! the block's probabilities again (Dao et al. 2022, FlashAttention, algorithms 1 and 4).
mod backward;
mod forward;
mod on_card;

use std::ops::Range;

use candle_core::{Result, Tensor, bail};

pub use backward::{Saved, backward};
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
    pub(crate) fn scale(&self) -> f32 {
        1.0 / (self.head_width as f32).sqrt()
    }

    pub(crate) fn group(&self) -> usize {
        self.head_count / self.kv_head_count
    }

    fn q_width(&self) -> usize {
        self.head_count * self.head_width
    }

    fn kv_width(&self) -> usize {
        self.kv_head_count * self.head_width
    }

    /// Columns of `qkv`.
    pub fn qkv_width(&self) -> usize {
        self.q_width() + 2 * self.kv_width()
    }

    /// First columns of the key head and the value head that query head `head` reads.
    fn kv_columns(&self, head: usize) -> (usize, usize) {
        let column = self.q_width() + head / self.group() * self.head_width;
        (column, column + self.kv_width())
    }

    /// Keys that the query at `position` sees.
    fn visible(&self, position: usize) -> Range<usize> {
        let first = self.window.map_or(0, |window| (position + 1).saturating_sub(window));
        first..position + 1
    }

    /// Refuses a `qkv` of another shape, and others that are not `(T, H * D)`.
    fn check(&self, qkv: &Tensor, others: &[&Tensor], bounds: &SeqBounds) -> Result<()> {
        if self.kv_head_count == 0 || !self.head_count.is_multiple_of(self.kv_head_count) {
            bail!("attention: {} heads over {} key/value heads", self.head_count, self.kv_head_count);
        }
        let t = bounds.token_count();
        let (want, out_want) = ([t, self.qkv_width()], [t, self.q_width()]);
        if qkv.dims() != want {
            bail!("attention: qkv is {:?}, expected {want:?}", qkv.dims());
        }
        match others.iter().find(|other| other.dims() != out_want) {
            Some(other) => bail!("attention: {:?} where {out_want:?} was expected", other.dims()),
            None => Ok(()),
        }
    }
}

/// `rows` of the head that begins at `column` of a buffer with rows of `width`.
fn head_rows(values: &[f32], width: usize, column: usize, head_width: usize, rows: Range<usize>) -> Matrix<'_> {
    let start = rows.start * width + column;
    let end = if rows.is_empty() { start } else { (rows.end - 1) * width + column + head_width };
    let values = if rows.is_empty() { &[] } else { &values[start..end] };
    Matrix::rows(Values::F32(values), rows.len(), head_width, width)
}

/// One task per sequence and head, in order.
fn tasks(bounds: &SeqBounds, head_count: usize) -> Vec<(Range<usize>, usize)> {
    bounds.ranges().flat_map(|range| (0..head_count).map(move |head| (range.clone(), head))).collect()
}

#[cfg(test)]
mod tests;
