//! Keys and values of attention in pages, and attention over them.
//!
//! A page holds sixteen neighbouring positions of one sequence, for all layers and heads. Sequences list their pages, so
//! pages lie anywhere, are shared by sequences that begin alike, and no memory is kept for tokens that never come.

mod write; // new keys and values into their pages
mod attention; // tiles of queries over the threads
mod kernel; // one tile
mod block; // one block of keys

#[cfg(test)]
mod tests;

use half::f16;
use half::slice::HalfBitsSliceExt;

use crate::Team;
use crate::memory::Table;
use crate::simd::LANES;
pub use attention::attention;
use write::Rows;

/// Positions of a page; a vector of scores is those of one page.
pub const PAGE_TOKENS: usize = LANES;

/// How keys and values are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KvFormat {
    /// As computed.
    F32,
    /// Rounded to half precision: half the memory, and half of it to read.
    F16,
}

/// New tokens of one sequence, and the pages of all its tokens.
#[derive(Debug, Clone, Copy)]
pub struct Sequence<'a> {
    /// Page of positions `16 i..16 i + 16` at index `i`.
    pub pages: &'a [u32],
    /// Position of the first new token.
    pub first: usize,
    /// New tokens.
    pub len: usize,
}

/// Pages for keys and values of all layers.
pub struct KvPool {
    shape: Shape,
    values: Values,
}

/// `(layers, pages, G)` pairs of keys `(D', 16)` and values `(16, D')`, with `D'` the head width in whole vectors.
#[derive(Clone, Copy)]
struct Shape {
    layers: usize,
    page_count: usize,
    kv_heads: usize,
    head_width: usize,
    padded_width: usize,
}

enum Values {
    F32(Table<f32>),
    /// Bits of f16, whose zeros the system gives for nothing.
    F16(Table<u16>),
}

impl Shape {
    /// Numbers of the keys, and of the values, of one page in one head and layer.
    #[inline(always)]
    fn tile_len(&self) -> usize {
        self.padded_width * PAGE_TOKENS
    }

    /// Where the keys of a page begin; its values follow.
    #[inline(always)]
    fn tile(&self, layer: usize, page: u32, kv_head: usize) -> usize {
        ((layer * self.page_count + page as usize) * self.kv_heads + kv_head) * 2 * self.tile_len()
    }

    /// Columns of a row of queries, keys and values; with the number of query heads.
    fn query_heads(&self, columns: usize) -> usize {
        let heads = columns / self.head_width;
        assert!(
            columns.is_multiple_of(self.head_width) && heads > 2 * self.kv_heads,
            "rows of {columns} columns with {} key heads of {}",
            self.kv_heads,
            self.head_width
        );
        heads - 2 * self.kv_heads
    }

    fn check(&self, layer: usize, sequences: &[Sequence<'_>]) {
        assert!(layer < self.layers, "layer {layer} of {}", self.layers);
        for Sequence { pages, first, len } in sequences {
            assert!(first + len <= pages.len() * PAGE_TOKENS, "{len} tokens from {first} in {} pages", pages.len());
            let beyond = pages.iter().find(|page| **page as usize >= self.page_count);
            assert_eq!(beyond, None, "a page of {}", self.page_count);
        }
    }
}

impl KvPool {
    /// A pool of pages, which cost memory when they are first written.
    pub fn new(layers: usize, kv_heads: usize, head_width: usize, page_count: usize, format: KvFormat) -> Self {
        let padded_width = head_width.next_multiple_of(LANES);
        let shape = Shape { layers, page_count, kv_heads, head_width, padded_width };
        let len = shape.tile(layers, 0, 0);
        let values = match format {
            KvFormat::F32 => Values::F32(Table::zeros(len)),
            KvFormat::F16 => Values::F16(Table::zeros(len)),
        };
        Self { shape, values }
    }

    /// Bytes of one page in all layers.
    pub fn page_bytes(layers: usize, kv_heads: usize, head_width: usize, format: KvFormat) -> usize {
        let number_bytes = match format {
            KvFormat::F32 => 4,
            KvFormat::F16 => 2,
        };
        layers * kv_heads * 2 * head_width.next_multiple_of(LANES) * PAGE_TOKENS * number_bytes
    }

    /// Pages.
    pub fn page_count(&self) -> usize {
        self.shape.page_count
    }

    /// Keeps keys and values of new tokens. No two sequences write to the same page.
    ///
    /// * `qkv`: `(T, (H + 2 G) D)`: queries, keys and values of each new token of the first sequence, then of the next.
    ///
    /// # Panics
    /// When shapes disagree or pages are missing.
    pub fn write(&mut self, team: &Team, layer: usize, sequences: &[Sequence<'_>], qkv: &[f32]) {
        self.shape.check(layer, sequences);
        let tokens: usize = sequences.iter().map(|sequence| sequence.len).sum();
        if tokens == 0 {
            return;
        }
        let columns = qkv.len() / tokens;
        assert_eq!(columns * tokens, qkv.len(), "rows of {tokens} tokens");
        let rows = Rows { shape: self.shape, layer, sequences, qkv, columns };
        match &mut self.values {
            Values::F32(values) => rows.write(team, values),
            Values::F16(values) => rows.write(team, values.reinterpret_cast_mut::<f16>()),
        }
    }
}
