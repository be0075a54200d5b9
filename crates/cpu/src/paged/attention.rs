//! Causal attention of new tokens over the pages of their sequences, shared by the threads.
//!
//! Keys are taken in blocks of 64 and spans of 256, both counted from position 0. A span's softmax starts anew, and spans
//! are joined from first to last. So the result of a query depends on its position only, while one query of a long
//! sequence still keeps several threads busy.

use std::cell::RefCell;
use std::ops::Range;

use half::f16;
use half::slice::HalfBitsSliceExt;

use super::block::BLOCK_KEYS;
use super::kernel::{Join, SPAN_KEYS, Tile};
use super::{KvPool, Sequence, Values};
use crate::Team;
use crate::disjoint::Disjoint;
use crate::simd::{Element, run};

/// Rows, queries times heads, that read a block of keys and values together.
const TILE_ROWS: usize = 24;

/// Tiles for each thread below which tiles are cut into spans.
const TILES_PER_THREAD: usize = 4;

thread_local! {
    static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// What all tiles read.
pub(super) struct Inputs<'a, E> {
    pub(super) pool: &'a [E],
    pub(super) shape: super::Shape,
    pub(super) layer: usize,
    pub(super) sequences: &'a [Sequence<'a>],
    pub(super) qkv: &'a [f32],
    pub(super) heads: usize,
    pub(super) window: Option<usize>,
}

/// Queries of one sequence that attend in one key head.
#[derive(Clone)]
pub(super) struct Queries {
    pub(super) sequence: usize,
    pub(super) kv_head: usize,
    /// Index of the first among all new tokens, and its position.
    pub(super) row: usize,
    pub(super) position: usize,
    pub(super) count: usize,
    /// Spans with keys that any of them sees.
    pub(super) spans: Range<usize>,
}

/// Attention of new tokens, whose keys and values were written before.
///
/// * `qkv`: `(T, (H + 2 G) D)`: the rows given to [`KvPool::write`]; their queries are read.
/// * `window`: how many keys a query sees, its own included; all before it when none.
/// * `out`: `(T, H D)`, overwritten.
///
/// # Panics
/// When shapes disagree or pages are missing.
pub fn attention(
    team: &Team,
    pool: &KvPool,
    layer: usize,
    sequences: &[Sequence<'_>],
    qkv: &[f32],
    window: Option<usize>,
    out: &mut [f32],
) {
    let shape = pool.shape;
    shape.check(layer, sequences);
    let tokens: usize = sequences.iter().map(|sequence| sequence.len).sum();
    if tokens == 0 {
        return;
    }
    let columns = qkv.len() / tokens;
    let heads = shape.query_heads(columns);
    assert_eq!(columns * tokens, qkv.len(), "rows of {tokens} tokens");
    assert_eq!(out.len(), tokens * heads * shape.head_width, "results of {tokens} tokens with {heads} heads");
    assert!(heads.is_multiple_of(shape.kv_heads), "{heads} heads share {} key heads", shape.kv_heads);
    assert_ne!(window, Some(0), "a window of no keys");
    match &pool.values {
        Values::F32(values) => {
            Inputs { pool: values, shape, layer, sequences, qkv, heads, window }.attend(team, out);
        }
        Values::F16(values) => {
            let pool = values.reinterpret_cast::<f16>();
            Inputs { pool, shape, layer, sequences, qkv, heads, window }.attend(team, out);
        }
    }
}

impl<E: Element> Inputs<'_, E> {
    fn attend(&self, team: &Team, out: &mut [f32]) {
        let tiles = self.tiles();
        let out = Disjoint::new(out);
        if tiles.len() < TILES_PER_THREAD * team.thread_count() && tiles.iter().any(|tile| tile.spans.len() > 1) {
            return self.attend_by_spans(team, &tiles, &out);
        }
        team.each(tiles.len(), &|index| {
            SCRATCH.with_borrow_mut(|scratch| {
                run(team.isa(), Tile { inputs: self, queries: &tiles[index], scratch, states: None, out: &out });
            });
        });
    }

    /// Each span of each tile by itself, then the spans of each tile joined.
    fn attend_by_spans(&self, team: &Team, tiles: &[Queries], out: &Disjoint<'_, f32>) {
        let state_len = |queries: &Queries| queries.padded_rows(self.group()) * self.shape.state_len();
        let (mut jobs, mut starts, mut len) = (Vec::new(), Vec::new(), 0);
        for queries in tiles {
            starts.push(len);
            for span in queries.spans.clone() {
                jobs.push((Queries { spans: span..span + 1, ..queries.clone() }, len));
                len += state_len(queries);
            }
        }
        let mut states = vec![0.0; len];
        let parts = Disjoint::new(&mut states);
        team.each(jobs.len(), &|index| {
            let (queries, start) = &jobs[index];
            // SAFETY: every job has its own part.
            let states = unsafe { parts.part(*start, state_len(queries)) };
            SCRATCH.with_borrow_mut(|scratch| {
                run(team.isa(), Tile { inputs: self, queries, scratch, states: Some(states), out });
            });
        });
        for (queries, start) in tiles.iter().zip(starts) {
            let states = &mut states[start..][..queries.spans.len() * state_len(queries)];
            run(team.isa(), Join { inputs: self, queries, states, out });
        }
    }

    /// Query heads that share a key head.
    #[inline(always)]
    pub(super) fn group(&self) -> usize {
        self.heads / self.shape.kv_heads
    }

    /// Positions that a query sees.
    #[inline(always)]
    pub(super) fn visible(&self, position: usize) -> Range<usize> {
        let first = self.window.map_or(0, |window| (position + 1).saturating_sub(window));
        first..position + 1
    }

    /// All queries in tiles, those that take longest first.
    fn tiles(&self) -> Vec<Queries> {
        let step = (TILE_ROWS / self.group()).max(1);
        let (mut tiles, mut row) = (Vec::new(), 0);
        for (sequence, Sequence { first, len, .. }) in self.sequences.iter().enumerate() {
            for index in (0..*len).step_by(step) {
                let (position, count) = (first + index, step.min(len - index));
                let keys = self.visible(position).start..position + count;
                let spans = keys.start / SPAN_KEYS..keys.end.div_ceil(SPAN_KEYS);
                let tile = Queries { sequence, kv_head: 0, row: row + index, position, count, spans };
                let cost = count * keys.len().next_multiple_of(BLOCK_KEYS);
                tiles.extend((0..self.shape.kv_heads).map(|kv_head| (cost, Queries { kv_head, ..tile.clone() })));
            }
            row += len;
        }
        tiles.sort_by_key(|(cost, _)| std::cmp::Reverse(*cost));
        tiles.into_iter().map(|(_, tile)| tile).collect()
    }
}
