//! Attention of one tile of queries: scores, softmax and weighted values of a block of keys at a time.
//!
//! Rows are queries times the heads that share keys. A row's state is the largest score so far, sixteen partial sums of
//! weights, and the weighted sum of values. A row that sees no key of a block or span keeps its state bit for bit, so it
//! does not matter with which others it shares a tile.

use std::ops::Range;

use super::attention::{Inputs, Queries};
use super::{PAGE_TOKENS, Shape};
use crate::disjoint::Disjoint;
use crate::simd::{Block, Element, Kernel, LANES, Simd};

/// Keys between two looks at the largest score.
pub(super) const BLOCK_KEYS: usize = BLOCK_PAGES * PAGE_TOKENS;

/// Keys of a softmax of its own.
pub(super) const SPAN_KEYS: usize = 256;

const BLOCK_PAGES: usize = 4;

/// Rows whose sums stay in registers.
const ROWS: usize = 6;

/// Vectors of values whose sums stay in registers.
const VECTORS: usize = 4;

/// Below every score; a difference to a score is still finite.
const NOTHING: f32 = -1e30;

impl Queries {
    /// Rows of the tile.
    #[inline(always)]
    fn rows(&self, group: usize) -> usize {
        self.count * group
    }

    /// Rows with those that fill up the last loop: loops exist for 1, 3 and 6 rows.
    #[inline(always)]
    pub(super) fn padded_rows(&self, group: usize) -> usize {
        let rest = match self.rows(group) % ROWS {
            0 => 0,
            1 => 1,
            2 | 3 => 3,
            _ => 6,
        };
        self.rows(group) / ROWS * ROWS + rest
    }
}

impl Shape {
    /// Numbers of a row's state: the largest score in all lanes, sums of weights, weighted values.
    #[inline(always)]
    pub(super) fn state_len(&self) -> usize {
        2 * LANES + self.padded_width
    }
}

/// Attends in all spans of its queries.
pub(super) struct Tile<'a, E> {
    pub(super) inputs: &'a Inputs<'a, E>,
    pub(super) queries: &'a Queries,
    pub(super) scratch: &'a mut Vec<f32>,
    /// Where the rows' states after the only span go, instead of results.
    pub(super) states: Option<&'a mut [f32]>,
    pub(super) out: &'a Disjoint<'a, f32>,
}

impl<E: Element> Kernel for Tile<'_, E> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { inputs, queries, scratch, states, out } = self;
        let rows = queries.padded_rows(inputs.group());
        let (query_len, states_len) = (rows * inputs.shape.head_width, rows * inputs.shape.state_len());
        scratch.resize(query_len + 2 * states_len, 0.0);
        let (query, scratch) = scratch.split_at_mut(query_len);
        let (total, part) = scratch.split_at_mut(states_len);
        gather(inputs, queries, query);
        let is_whole = states.is_none();
        let total = states.unwrap_or(total);
        for index in queries.spans.clone() {
            let is_first = index == queries.spans.start;
            span(simd, inputs, queries, query, index, if is_first { &mut *total } else { &mut *part });
            if !is_first {
                join(simd, inputs.shape, total, part);
            }
        }
        if is_whole {
            finish(simd, inputs, queries, total, out);
        }
    }
}

/// Joins the states of all spans of its queries.
pub(super) struct Join<'a, E> {
    pub(super) inputs: &'a Inputs<'a, E>,
    pub(super) queries: &'a Queries,
    pub(super) states: &'a mut [f32],
    pub(super) out: &'a Disjoint<'a, f32>,
}

impl<E: Element> Kernel for Join<'_, E> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { inputs, queries, states, out } = self;
        let (total, parts) = states.split_at_mut(states.len() / queries.spans.len());
        for part in parts.chunks_exact(total.len()) {
            join(simd, inputs.shape, total, part);
        }
        finish(simd, inputs, queries, total, out);
    }
}

/// Scaled queries: the rows of each [`ROWS`] lie interleaved, first their first numbers.
#[inline(always)]
fn gather<E: Element>(inputs: &Inputs<'_, E>, queries: &Queries, out: &mut [f32]) {
    let (group, width) = (inputs.group(), inputs.shape.head_width);
    let columns = (inputs.heads + 2 * inputs.shape.kv_heads) * width;
    let scale = 1.0 / (width as f32).sqrt();
    for (tile, out) in out.chunks_mut(ROWS * width).enumerate() {
        let rows = out.len() / width;
        out.fill(0.0);
        for index in 0..rows.min(queries.rows(group) - tile * ROWS) {
            let row = tile * ROWS + index;
            let first = (queries.row + row / group) * columns + (queries.kv_head * group + row % group) * width;
            let query = &inputs.qkv[first..][..width];
            for (out, query) in out.iter_mut().skip(index).step_by(rows).zip(query) {
                *out = query * scale;
            }
        }
    }
}

/// The states after one span, from nothing.
#[inline(always)]
fn span<S: Simd, E: Element>(
    simd: S,
    inputs: &Inputs<'_, E>,
    queries: &Queries,
    query: &[f32],
    span: usize,
    states: &mut [f32],
) {
    let (shape, group) = (inputs.shape, inputs.group());
    for state in states.chunks_exact_mut(shape.state_len()) {
        state.fill(0.0);
        state[..LANES].fill(NOTHING);
    }
    let first = inputs.visible(queries.position).start.max(span * SPAN_KEYS);
    let end = (queries.position + queries.count).min((span + 1) * SPAN_KEYS);
    for block in first / BLOCK_KEYS..end.div_ceil(BLOCK_KEYS) {
        let tiles = query.chunks(ROWS * shape.head_width);
        for (index, (query, states)) in tiles.zip(states.chunks_mut(ROWS * shape.state_len())).enumerate() {
            let row = index * ROWS;
            macro_rules! pick {
                ($($rows:literal)*) => {
                    match query.len() / shape.head_width {
                        $($rows => {
                            let last = queries.rows(group) - 1;
                            let positions: [usize; $rows] =
                                std::array::from_fn(|index| queries.position + (row + index).min(last) / group);
                            let block = Keys { inputs, queries, block, positions };
                            block.attend(simd, query, states);
                        })*
                        _ => unreachable!("rows are filled up"),
                    }
                };
            }
            pick!(1 3 6)
        }
    }
}

/// One block of keys, and the positions of the rows that look at it.
struct Keys<'a, E, const R: usize> {
    inputs: &'a Inputs<'a, E>,
    queries: &'a Queries,
    block: usize,
    positions: [usize; R],
}

impl<E: Element, const R: usize> Keys<'_, E, R> {
    #[inline(always)]
    fn attend<S: Simd>(&self, simd: S, query: &[f32], states: &mut [f32]) {
        // Rows are in the order of positions: together they see what the first and the last see.
        let (first, last) = (self.seen(0), self.seen(R - 1));
        let keys = first.start..last.end;
        if keys.is_empty() {
            return;
        }
        let pages = self.pages(&keys);
        let mut scores = self.scores(simd, query, &pages);
        let (mut weights, mut fades) = ([[0.0; BLOCK_KEYS]; R], [simd.splat(0.0); R]);
        let state_len = self.inputs.shape.state_len();
        for (row, state) in states.chunks_exact_mut(state_len).enumerate().take(R) {
            fades[row] = soften(simd, self.seen(row), &mut scores[row], &mut weights[row], state);
        }
        let vectors = self.inputs.shape.padded_width / LANES;
        let mut vector = 0;
        while vector + VECTORS <= vectors {
            self.weigh::<S, VECTORS>(simd, &pages, &keys, &weights, &fades, states, vector);
            vector += VECTORS;
        }
        while vector < vectors {
            self.weigh::<S, 1>(simd, &pages, &keys, &weights, &fades, states, vector);
            vector += 1;
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

    /// Keys and values of the block's pages; pages that no row sees are not looked at, another stands in their place.
    #[inline(always)]
    fn pages(&self, keys: &Range<usize>) -> [(&[Block<E>], &[E]); BLOCK_PAGES] {
        let Inputs { pool, shape, layer, sequences, .. } = self.inputs;
        let (first, last) = (keys.start / PAGE_TOKENS, (keys.end - 1) / PAGE_TOKENS);
        let mut pages: [(&[Block<E>], &[E]); BLOCK_PAGES] = [(&[], &[]); BLOCK_PAGES];
        for (index, place) in pages.iter_mut().enumerate() {
            let page = sequences[self.queries.sequence].pages[self.block * BLOCK_PAGES + index.clamp(first, last)];
            let tile = &pool[shape.tile(*layer, page, self.queries.kv_head)..][..2 * shape.tile_len()];
            let (keys, values) = tile.split_at(shape.tile_len());
            *place = (&keys.as_chunks().0[..shape.head_width], values);
        }
        pages
    }

    #[inline(always)]
    fn scores<S: Simd>(
        &self,
        simd: S,
        query: &[f32],
        pages: &[(&[Block<E>], &[E]); BLOCK_PAGES],
    ) -> [[S::V; BLOCK_PAGES]; R] {
        let mut scores = [[simd.splat(0.0); BLOCK_PAGES]; R];
        let [(a, _), (b, _), (c, _), (d, _)] = pages;
        for ((((query, a), b), c), d) in query.as_chunks::<R>().0.iter().zip(*a).zip(*b).zip(*c).zip(*d) {
            let keys = [E::load(simd, a), E::load(simd, b), E::load(simd, c), E::load(simd, d)];
            for row in 0..R {
                let query = simd.splat(query[row]);
                for page in 0..BLOCK_PAGES {
                    scores[row][page] = simd.mul_add(query, keys[page], scores[row][page]);
                }
            }
        }
        scores
    }

    /// `values * fade + sum of weight * value`, for `N` vectors of the values, key after key.
    #[inline(always)]
    #[expect(clippy::too_many_arguments)] // the loop's whole surroundings
    fn weigh<S: Simd, const N: usize>(
        &self,
        simd: S,
        pages: &[(&[Block<E>], &[E]); BLOCK_PAGES],
        keys: &Range<usize>,
        weights: &[[f32; BLOCK_KEYS]; R],
        fades: &[S::V; R],
        states: &mut [f32],
        vector: usize,
    ) {
        let Shape { padded_width, .. } = self.inputs.shape;
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
            let values = &pages[key / PAGE_TOKENS].1[key % PAGE_TOKENS * padded_width..][..padded_width];
            let values = &values.as_chunks().0[vector..vector + N];
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

/// Joins the state of each row with that of the span after it.
#[inline(always)]
fn join<S: Simd>(simd: S, shape: Shape, total: &mut [f32], part: &[f32]) {
    for (total, part) in total.chunks_exact_mut(shape.state_len()).zip(part.chunks_exact(shape.state_len())) {
        let (total, part) = (total.as_chunks_mut().0, part.as_chunks().0);
        let (before, after) = (simd.load(&total[0]), simd.load(&part[0]));
        let largest = simd.max(before, after);
        let (fade, weight) = (simd.exp(simd.sub(before, largest)), simd.exp(simd.sub(after, largest)));
        simd.store(largest, &mut total[0]);
        for (total, part) in total.iter_mut().zip(part).skip(1) {
            let faded = simd.mul(simd.load(total), fade);
            simd.store(simd.mul_add(simd.load(part), weight, faded), total);
        }
    }
}

/// Writes weighted values over sums of weights as results.
#[inline(always)]
fn finish<S: Simd, E: Element>(
    simd: S,
    inputs: &Inputs<'_, E>,
    queries: &Queries,
    total: &[f32],
    out: &Disjoint<'_, f32>,
) {
    let (group, width) = (inputs.group(), inputs.shape.head_width);
    let states = total.chunks_exact(inputs.shape.state_len());
    for (row, state) in states.enumerate().take(queries.rows(group)) {
        let (state, _) = state.as_chunks();
        let share = simd.splat(1.0 / simd.sum(simd.load(&state[1])));
        let first = (queries.row + row / group) * inputs.heads + queries.kv_head * group + row % group;
        // SAFETY: no two tiles have the same queries and heads.
        let out = unsafe { out.part(first * width, width) };
        for (out, values) in out.chunks_mut(LANES).zip(&state[2..]) {
            simd.store_some(simd.mul(simd.load(values), share), out);
        }
    }
}
