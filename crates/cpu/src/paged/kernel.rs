//! Attention of one tile of queries, a block of keys at a time, and how spans of keys are joined.
//!
//! Rows are queries times the heads that share keys. A row's state is the largest score so far, sixteen partial sums of
//! weights, and the weighted sum of values. A row that sees no key of a block or span keeps its state bit for bit, so it
//! does not matter with which others it shares a tile.

use super::Shape;
use super::attention::{Inputs, Queries};
use super::block::{BLOCK_KEYS, Keys};
use crate::disjoint::Disjoint;
use crate::simd::{Element, Kernel, LANES, Simd};

/// Keys of a softmax of its own.
pub(super) const SPAN_KEYS: usize = 256;

/// Below every score; a difference to a score is still finite.
pub(super) const NOTHING: f32 = -1e30;

/// Rows whose sums with some vectors of values, or of scores, stay in registers.
#[inline(always)]
fn loop_rows<S: Simd>() -> usize {
    if is_wide::<S>() { 6 } else { 3 }
}

/// Whether six rows by four vectors fit in registers, and not only three by two.
#[inline(always)]
pub(super) fn is_wide<S: Simd>() -> bool {
    S::ACCUMULATORS >= 24
}

impl Queries {
    /// Rows of the tile.
    #[inline(always)]
    fn rows(&self, group: usize) -> usize {
        self.count * group
    }

    /// Rows with those that fill up the last loop: there are loops for 1, 3 and 6 rows.
    #[inline(always)]
    pub(super) fn padded_rows(&self, group: usize) -> usize {
        match self.rows(group) {
            1 => 1,
            rows => rows.next_multiple_of(3),
        }
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
        gather(inputs, queries, loop_rows::<S>(), query);
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

/// Scaled queries: the rows of each loop lie interleaved, first their first numbers.
#[inline(always)]
fn gather<E: Element>(inputs: &Inputs<'_, E>, queries: &Queries, loop_rows: usize, out: &mut [f32]) {
    let (group, width) = (inputs.group(), inputs.shape.head_width);
    let columns = (inputs.heads + 2 * inputs.shape.kv_heads) * width;
    let scale = 1.0 / (width as f32).sqrt();
    for (tile, out) in out.chunks_mut(loop_rows * width).enumerate() {
        let (first_row, rows) = (tile * loop_rows, out.len() / width);
        out.fill(0.0);
        for index in 0..rows.min(queries.rows(group) - first_row) {
            let row = first_row + index;
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
        let tiles = query.chunks(loop_rows::<S>() * shape.head_width);
        for (index, (query, states)) in tiles.zip(states.chunks_mut(loop_rows::<S>() * shape.state_len())).enumerate() {
            macro_rules! attend {
                ($rows:literal) => {{
                    let (row, last) = (index * loop_rows::<S>(), queries.rows(group) - 1);
                    let position = |index: usize| queries.position + (row + index).min(last) / group;
                    let positions: [usize; $rows] = std::array::from_fn(position);
                    Keys { inputs, queries, block, positions }.attend(simd, query, states);
                }};
            }
            match query.len() / shape.head_width {
                1 => attend!(1),
                3 => attend!(3),
                6 if is_wide::<S>() => attend!(6),
                _ => unreachable!("rows are filled up"),
            }
        }
    }
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
