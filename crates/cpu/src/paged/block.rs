//! One block of keys: scores, their softmax and the weighted sum of values, for some rows at a time.

use std::ops::Range;

use super::PAGE_TOKENS;
use super::attention::{Inputs, Queries};
use super::kernel::{NOTHING, is_wide};
use crate::simd::{Block, Element, LANES, Simd};

/// Keys between two looks at the largest score.
pub(super) const BLOCK_KEYS: usize = BLOCK_PAGES * PAGE_TOKENS;

const BLOCK_PAGES: usize = 4;

/// Rows that compute less than they read.
const FEW_ROWS: usize = 3;

/// One block of keys, and the positions of the rows that look at it.
pub(super) struct Keys<'a, E, const R: usize> {
    pub(super) inputs: &'a Inputs<'a, E>,
    pub(super) queries: &'a Queries,
    pub(super) block: usize,
    pub(super) positions: [usize; R],
}

/// Keys `(D, 16)` and values `(16, D')` of a page.
#[derive(Clone, Copy)]
struct Page<'a, E> {
    keys: &'a [Block<E>],
    values: &'a [Block<E>],
}

impl<E: Element, const R: usize> Keys<'_, E, R> {
    /// Brings the rows' states from before this block to after it.
    #[inline(always)]
    pub(super) fn attend<S: Simd>(&self, simd: S, query: &[f32], states: &mut [f32]) {
        // Rows are in the order of positions: together they see what the first and the last see.
        let (first, last) = (self.seen(0), self.seen(R - 1));
        let keys = first.start..last.end;
        if keys.is_empty() {
            return;
        }
        let pages = self.pages(&keys);
        let mut scores = [[simd.splat(0.0); BLOCK_PAGES]; R];
        match is_wide::<S>() {
            true => self.score::<S, 4>(simd, query, &pages, &mut scores),
            false => self.score::<S, 2>(simd, query, &pages, &mut scores),
        }
        let (mut weights, mut fades) = ([[0.0; BLOCK_KEYS]; R], [simd.splat(0.0); R]);
        let state_len = self.inputs.shape.state_len();
        for (row, state) in states.chunks_exact_mut(state_len).enumerate().take(R) {
            fades[row] = soften(simd, self.seen(row), &mut scores[row], &mut weights[row], state);
        }
        let vectors = self.inputs.shape.padded_width / LANES;
        let mut vector = 0;
        while vector < vectors {
            let step = match vectors - vector {
                4.. if is_wide::<S>() => self.weigh::<S, 4>(simd, &pages, &keys, &weights, &fades, states, vector),
                2.. => self.weigh::<S, 2>(simd, &pages, &keys, &weights, &fades, states, vector),
                _ => self.weigh::<S, 1>(simd, &pages, &keys, &weights, &fades, states, vector),
            };
            vector += step;
        }
    }

    /// The keys of the block that a row sees, counted from the block's first.
    #[inline(always)]
    fn seen(&self, row: usize) -> Range<usize> {
        let start = self.block * BLOCK_KEYS;
        let seen = self.inputs.visible(self.positions[row]);
        let end = seen.end.saturating_sub(start).min(BLOCK_KEYS);
        seen.start.saturating_sub(start).min(end)..end
    }

    /// The block's pages; in place of pages that no row sees another stands.
    #[inline(always)]
    fn pages(&self, keys: &Range<usize>) -> [Page<'_, E>; BLOCK_PAGES] {
        let (first, last) = (keys.start / PAGE_TOKENS, (keys.end - 1) / PAGE_TOKENS);
        let mut pages = [Page { keys: &[], values: &[] }; BLOCK_PAGES];
        for (index, page) in pages.iter_mut().enumerate() {
            *page = self.page(self.block * BLOCK_PAGES + index.clamp(first, last));
        }
        pages
    }

    #[inline(always)]
    fn page(&self, index: usize) -> Page<'_, E> {
        let Inputs { pool, shape, layer, sequences, .. } = self.inputs;
        let page = sequences[self.queries.sequence].pages[index];
        let tile = &pool[shape.tile(*layer, page, self.queries.kv_head)..][..2 * shape.tile_len()];
        let (keys, values) = tile.split_at(shape.tile_len());
        Page { keys: &keys.as_chunks().0[..shape.head_width], values: values.as_chunks().0 }
    }

    /// Asks for the first keys that the next block of these rows reads.
    ///
    /// Few rows wait for memory most of the time, and pages lie where no processor can guess.
    #[inline(always)]
    fn ask_for_next<S: Simd>(&self, simd: S, slot: usize) {
        let next = (self.block + 1) * BLOCK_PAGES + slot / PAGE_TOKENS;
        if next * PAGE_TOKENS <= self.positions[R - 1] {
            let vectors = self.inputs.shape.padded_width / LANES;
            for block in self.page(next).keys.iter().skip(slot % PAGE_TOKENS * vectors).take(vectors) {
                simd.prefetch(block);
            }
        }
    }

    /// Queries times keys, `P` pages at a time.
    #[inline(always)]
    fn score<S: Simd, const P: usize>(
        &self,
        simd: S,
        query: &[f32],
        pages: &[Page<'_, E>; BLOCK_PAGES],
        scores: &mut [[S::V; BLOCK_PAGES]; R],
    ) {
        let width = self.inputs.shape.head_width;
        let query = &query.as_chunks::<R>().0[..width];
        for first in (0..BLOCK_PAGES).step_by(P) {
            let keys: [&[Block<E>]; P] = std::array::from_fn(|page| &pages[first + page].keys[..width]);
            let mut sums = [[simd.splat(0.0); P]; R];
            for index in 0..width {
                let mut wide = [simd.splat(0.0); P];
                for page in 0..P {
                    wide[page] = E::load(simd, &keys[page][index]);
                    if R <= FEW_ROWS {
                        simd.prefetch(&pages[first + page].values[index]);
                    }
                }
                for row in 0..R {
                    let query = simd.splat(query[index][row]);
                    for page in 0..P {
                        sums[row][page] = simd.mul_add(query, wide[page], sums[row][page]);
                    }
                }
            }
            for row in 0..R {
                scores[row][first..first + P].copy_from_slice(&sums[row]);
            }
        }
    }

    /// `values * fade + sum of weight * value`, for `N` vectors of the values, key after key. Returns `N`.
    #[inline(always)]
    #[expect(clippy::too_many_arguments)] // the loop's whole surroundings
    fn weigh<S: Simd, const N: usize>(
        &self,
        simd: S,
        pages: &[Page<'_, E>; BLOCK_PAGES],
        keys: &Range<usize>,
        weights: &[[f32; BLOCK_KEYS]; R],
        fades: &[S::V; R],
        states: &mut [f32],
        vector: usize,
    ) -> usize {
        let vectors = self.inputs.shape.padded_width / LANES;
        let state_len = self.inputs.shape.state_len();
        let at = |row: usize| row * state_len / LANES + 2 + vector;
        let states = &mut states.as_chunks_mut::<LANES>().0;
        let mut sums = [[simd.splat(0.0); N]; R];
        for row in 0..R {
            for n in 0..N {
                sums[row][n] = simd.mul(simd.load(&states[at(row) + n]), fades[row]);
            }
        }
        for key in keys.clone() {
            let values = &pages[key / PAGE_TOKENS].values[key % PAGE_TOKENS * vectors + vector..][..N];
            if R <= FEW_ROWS && vector == 0 {
                self.ask_for_next(simd, key);
            }
            let mut wide = [simd.splat(0.0); N];
            for n in 0..N {
                wide[n] = E::load(simd, &values[n]);
            }
            for row in 0..R {
                let weight = simd.splat(weights[row][key]);
                for n in 0..N {
                    sums[row][n] = simd.mul_add(weight, wide[n], sums[row][n]);
                }
            }
        }
        for row in 0..R {
            for n in 0..N {
                simd.store(sums[row][n], &mut states[at(row) + n]);
            }
        }
        N
    }
}

/// Turns a row's scores into weights relative to its largest score so far; gives what earlier weights are to be
/// multiplied with.
#[inline(always)]
fn soften<S: Simd>(
    simd: S,
    seen: Range<usize>,
    scores: &mut [S::V; BLOCK_PAGES],
    weights: &mut [f32; BLOCK_KEYS],
    state: &mut [f32],
) -> S::V {
    let (state, _) = state.as_chunks_mut();
    let before = simd.load(&state[0]);
    let mut largest = before;
    let inside = |page: usize, end: usize| end.saturating_sub(page * PAGE_TOKENS).min(PAGE_TOKENS);
    for page in 0..BLOCK_PAGES {
        let (from, to) = (inside(page, seen.start), inside(page, seen.end));
        scores[page] = simd.select(from, to, scores[page], simd.splat(NOTHING));
        largest = simd.max(scores[page], largest);
    }
    let largest = simd.splat(simd.largest(largest));
    let fade = simd.exp(simd.sub(before, largest));
    let mut sum = simd.mul(simd.load(&state[1]), fade);
    for (page, weights) in weights.as_chunks_mut().0.iter_mut().enumerate() {
        let (from, to) = (inside(page, seen.start), inside(page, seen.end));
        let weight = simd.exp(simd.sub(scores[page], largest));
        let weight = simd.select(from, to, weight, simd.splat(0.0));
        sum = simd.add(sum, weight);
        simd.store(weight, weights);
    }
    simd.store(largest, &mut state[0]);
    simd.store(sum, &mut state[1]);
    fade
}
