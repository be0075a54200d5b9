//! What the kernels have to know of a pass: where new tokens go, and which keys each of them reads.

use candle_core::{Result, bail};

use super::{CHUNK_TOKENS, DECODE_TOKENS_MAX, NOWHERE, PAGE_TOKENS, TILE_TOKENS};

/// 32-bit numbers of a chunk, a span and a tile of queries (`kernels/paged_layout.cuh`).
pub(super) const CHUNK_WORDS: usize = 12;
pub(super) const SPAN_WORDS: usize = 4;
pub(super) const TILE_WORDS: usize = 8;

/// The new tokens of one sequence, and the pages of all its tokens.
#[derive(Debug, Clone, Copy)]
pub struct Sequence<'a> {
    /// Pages in the order of positions: page `i` holds positions `16 i ..`. At least as many as its tokens need.
    pub pages: &'a [u32],
    /// Position of the first new token: how many precede it.
    pub first: usize,
    /// New tokens.
    pub len: usize,
}

/// A pass in the kernels' words. Sequences with few new tokens are cut into chunks of keys that blocks work on at the
/// same time, those with many into tiles of queries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Of each row its position.
    pub positions: Vec<u32>,
    /// Of each row the place in its page, `page * 16 + row`.
    pub slots: Vec<u32>,
    /// Chunks of keys, 12 numbers each.
    pub chunks: Vec<u32>,
    /// Of each row the chunks to be added up, 4 numbers each.
    pub spans: Vec<u32>,
    /// Tiles of queries, 8 numbers each.
    pub tiles: Vec<u32>,
    /// Pages of the sequences in `tiles`, one sequence after the other.
    pub page_list: Vec<u32>,
    /// Most new tokens of a sequence that has chunks.
    pub tokens_max: usize,
}

impl Plan {
    /// Plans a pass over these sequences, whose new tokens lie end to end.
    ///
    /// # Errors
    /// When a sequence has no new token or too few pages.
    pub fn new(sequences: &[Sequence<'_>], window: Option<usize>) -> Result<Self> {
        let mut plan = Self::default();
        for sequence in sequences {
            plan.add(sequence, window.unwrap_or(usize::MAX))?;
        }
        Ok(plan)
    }

    /// Rows of the pass.
    pub fn row_count(&self) -> usize {
        self.positions.len()
    }

    /// Chunks of keys.
    pub fn chunk_count(&self) -> usize {
        self.chunks.len() / CHUNK_WORDS
    }

    /// Chunks that a sequence of few new tokens needs, the last of them at `last`.
    pub fn chunks_of(first: usize, last: usize, window: Option<usize>) -> usize {
        last / CHUNK_TOKENS - lowest(first, window.unwrap_or(usize::MAX)) / CHUNK_TOKENS + 1
    }

    /// Fills up with rows and chunks that do nothing.
    pub fn pad(&mut self, rows: usize, chunks: usize) {
        self.positions.resize(rows.max(self.row_count()), 0);
        self.slots.resize(self.positions.len(), NOWHERE);
        self.spans.resize(self.positions.len() * SPAN_WORDS, 0);
        self.chunks.resize(chunks.max(self.chunk_count()) * CHUNK_WORDS, 0);
    }

    fn add(&mut self, sequence: &Sequence<'_>, window: usize) -> Result<()> {
        let Sequence { pages, first, len } = *sequence;
        let end = first + len;
        if len == 0 || pages.len() < end.div_ceil(PAGE_TOKENS) {
            bail!("{len} new tokens after {first} with {} pages of {PAGE_TOKENS}", pages.len());
        }
        if end > i32::MAX as usize / 4 {
            bail!("a sequence of {end} tokens is more than a kernel counts to");
        }
        let row = self.row_count();
        self.positions.extend((first..end).map(|position| position as u32));
        let slot =
            |position: usize| pages[position / PAGE_TOKENS] * PAGE_TOKENS as u32 + (position % PAGE_TOKENS) as u32;
        self.slots.extend((first..end).map(slot));
        if len <= DECODE_TOKENS_MAX {
            self.add_chunks(sequence, row, window);
        } else {
            self.spans.resize((row + len) * SPAN_WORDS, 0);
            self.add_tiles(sequence, row);
        }
        Ok(())
    }

    fn add_chunks(&mut self, sequence: &Sequence<'_>, row: usize, window: usize) {
        let Sequence { pages, first, len } = *sequence;
        let (from, end) = (lowest(first, window) / CHUNK_TOKENS * CHUNK_TOKENS, first + len);
        let (chunk, count) = (self.chunk_count() as u32, (end - from).div_ceil(CHUNK_TOKENS) as u32);
        for key in (from..end).step_by(CHUNK_TOKENS) {
            self.chunks.extend([row, len, first, key].map(|number| number as u32));
            // A page that nobody reads any more, or that is not there, is not looked at.
            let page = |at: usize| pages.get(key / PAGE_TOKENS + at).copied().unwrap_or(0);
            self.chunks.extend((0..CHUNK_TOKENS / PAGE_TOKENS).map(page));
        }
        self.spans.extend((0..len as u32).flat_map(|token| [chunk, count, token, 0]));
        self.tokens_max = self.tokens_max.max(len);
    }

    fn add_tiles(&mut self, sequence: &Sequence<'_>, row: usize) {
        let Sequence { pages, first, len } = *sequence;
        let (end, list) = (first + len, self.page_list.len());
        for position in (first / TILE_TOKENS * TILE_TOKENS..end).step_by(TILE_TOKENS) {
            // The row at `position`, which lies before the batch's first when the tile does not begin a sequence's part.
            let at = row as i64 - first as i64 + position as i64;
            let begin = position.max(first);
            let last = (position + TILE_TOKENS).min(end);
            self.tiles.extend([at as i32 as u32, position as u32, begin as u32, last as u32, list as u32, 0, 0, 0]);
        }
        self.page_list.extend_from_slice(&pages[..end.div_ceil(PAGE_TOKENS)]);
    }
}

/// First position that a token at `first`, or any after it, sees.
fn lowest(first: usize, window: usize) -> usize {
    (first + 1).saturating_sub(window)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_past_is_cut_at_multiples_of_the_chunk() {
        let pages: Vec<u32> = (100..120).collect();
        let sequences = [Sequence { pages: &pages, first: 300, len: 2 }, Sequence { pages: &pages, first: 0, len: 1 }];
        let plan = Plan::new(&sequences, None).unwrap();
        assert_eq!(plan.positions, [300, 301, 0]);
        assert_eq!(plan.slots, [118 * 16 + 12, 118 * 16 + 13, 1600]);
        assert_eq!(plan.chunk_count(), 4);
        assert_eq!(plan.chunks[..6], [0, 2, 300, 0, 100, 101]);
        assert_eq!(plan.chunks[2 * CHUNK_WORDS..][..8], [0, 2, 300, 256, 116, 117, 118, 119]);
        assert_eq!(plan.chunks[3 * CHUNK_WORDS..][..5], [2, 1, 0, 0, 100]);
        assert_eq!(plan.spans, [0, 3, 0, 0, 0, 3, 1, 0, 3, 1, 0, 0]);
        assert_eq!((plan.tokens_max, plan.tiles.len()), (2, 0));
        assert_eq!(Plan::chunks_of(300, 301, None), 3);
    }

    #[test]
    fn a_window_leaves_out_the_chunks_before_it() {
        let pages: Vec<u32> = (0..20).collect();
        let plan = Plan::new(&[Sequence { pages: &pages, first: 300, len: 2 }], Some(60)).unwrap();
        // Token 300 sees 241 and what follows.
        assert_eq!(plan.chunk_count(), 2);
        assert_eq!(plan.chunks[3], 128);
        assert_eq!(Plan::chunks_of(300, 301, Some(60)), 2);
    }

    #[test]
    fn many_tokens_become_tiles_at_multiples_of_their_length() {
        let pages: Vec<u32> = (0..20).collect();
        let plan = Plan::new(&[Sequence { pages: &pages, first: 120, len: 20 }], None).unwrap();
        assert_eq!(plan.tiles[..8], [(-120i32) as u32, 0, 120, 128, 0, 0, 0, 0]);
        assert_eq!(plan.tiles[8..], [8, 128, 128, 140, 0, 0, 0, 0]);
        assert_eq!((plan.page_list.len(), plan.spans.len(), plan.chunks.len()), (9, 20 * SPAN_WORDS, 0));
    }

    #[test]
    fn a_plan_is_filled_up_with_nothing() {
        let mut plan = Plan::new(&[Sequence { pages: &[7], first: 3, len: 1 }], None).unwrap();
        plan.pad(4, 2);
        assert_eq!((plan.row_count(), plan.chunk_count()), (4, 2));
        assert_eq!(plan.slots[1..], [NOWHERE; 3]);
        assert_eq!(plan.chunks[CHUNK_WORDS..], [0; CHUNK_WORDS]);
    }

    #[test]
    fn too_few_pages_are_refused() {
        for (first, len) in [(0, 17), (16, 1), (3, 0)] {
            assert!(Plan::new(&[Sequence { pages: &[0], first, len }], None).is_err(), "{first} {len}");
        }
    }
}
