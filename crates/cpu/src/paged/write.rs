//! New keys and values into their pages.

use super::{PAGE_TOKENS, Sequence, Shape};
use crate::Team;
use crate::disjoint::Disjoint;
use crate::simd::{Kernel, LANES, Simd, Stored, run};

/// Tokens whose writing takes longer than waking a thread.
const TOKENS_SHARED: usize = 16;

/// Rows of queries, keys and values of new tokens.
pub(super) struct Rows<'a> {
    pub(super) shape: Shape,
    pub(super) layer: usize,
    pub(super) sequences: &'a [Sequence<'a>],
    pub(super) qkv: &'a [f32],
    pub(super) columns: usize,
}

impl Rows<'_> {
    /// * `pool`: all pages.
    pub(super) fn write<E: Stored>(&self, team: &Team, pool: &mut [E]) {
        let pool = Disjoint::new(pool);
        let write_head = |kv_head: usize| run(team.isa(), Head { rows: self, kv_head, pool: &pool });
        match self.qkv.len() / self.columns < TOKENS_SHARED {
            true => (0..self.shape.kv_heads).for_each(write_head),
            false => team.each(self.shape.kv_heads, &write_head),
        }
    }
}

/// What one head keeps.
struct Head<'a, E> {
    rows: &'a Rows<'a>,
    kv_head: usize,
    pool: &'a Disjoint<'a, E>,
}

impl<E: Stored> Kernel for Head<'_, E> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Rows { shape, layer, sequences, qkv, columns } = *self.rows;
        let (width, tile_len) = (shape.head_width, shape.tile_len());
        let first_key = (shape.query_heads(columns) + self.kv_head) * width;
        let first_value = first_key + shape.kv_heads * width;
        let mut row = 0;
        for Sequence { pages, first, len } in sequences {
            let (mut position, end) = (*first, first + len);
            while position < end {
                let slot = position % PAGE_TOKENS;
                let count = (PAGE_TOKENS - slot).min(end - position);
                let tile = shape.tile(layer, pages[position / PAGE_TOKENS], self.kv_head);
                // SAFETY: tasks have different heads, and parts of a page's heads do not overlap.
                let (keys, values) = unsafe { self.pool.part(tile, 2 * tile_len) }.split_at_mut(tile_len);
                let new = &qkv[row * columns..][..count * columns];
                write_keys(simd, new.chunks_exact(columns).map(|row| &row[first_key..][..width]), slot, keys);
                let kept = values.chunks_exact_mut(shape.padded_width).skip(slot);
                for (row, kept) in new.chunks_exact(columns).zip(kept) {
                    for (value, kept) in row[first_value..][..width].chunks(LANES).zip(kept.as_chunks_mut().0) {
                        E::store(simd, simd.load_some(value), kept);
                    }
                }
                (row, position) = (row + count, position + count);
            }
        }
    }
}

/// Keys of some tokens into columns of a page, `(D, 16)`.
#[inline(always)]
fn write_keys<'a, S: Simd, E: Stored>(
    simd: S,
    keys: impl ExactSizeIterator<Item = &'a [f32]> + Clone,
    slot: usize,
    page: &mut [E],
) {
    if keys.len() == PAGE_TOKENS {
        for (index, page) in page.as_chunks_mut::<PAGE_TOKENS>().0.chunks_mut(LANES).enumerate() {
            let mut rows = [simd.splat(0.0); PAGE_TOKENS];
            for (row, key) in rows.iter_mut().zip(keys.clone()) {
                *row = simd.load_some(&key[index * LANES..key.len().min((index + 1) * LANES)]);
            }
            for (kept, column) in page.iter_mut().zip(simd.transpose(rows)) {
                E::store(simd, column, kept);
            }
        }
        return;
    }
    for (slot, key) in (slot..).zip(keys) {
        for (key, page) in key.chunks(LANES).zip(page.chunks_mut(LANES * PAGE_TOKENS)) {
            let mut narrow = [E::default(); LANES];
            E::store(simd, simd.load_some(key), &mut narrow);
            for (kept, key) in page.iter_mut().skip(slot).step_by(PAGE_TOKENS).zip(&narrow[..key.len()]) {
                *kept = *key;
            }
        }
    }
}
