//! Keys and values in pages on a card, and attention over them: for serving.
//!
//! A page holds 16 tokens of a sequence, keys and values of all heads of one layer. Which pages are whose, and in what
//! order, only the caller knows: a [`Plan`] says it for one pass. Every row is computed in an order that depends on its
//! position alone, not on the batch or on how its prompt was cut.
//!
//! There is no CPU path: serving on processors is a crate of its own.
mod plan;

use candle_core::{DType, Result, Tensor, bail};

pub use plan::{Plan, Sequence};

use crate::attention::Attention;
use crate::gpu::{Argument, Gpu, Grid, kernel_name};
use crate::rope::Angles;
use plan::{CHUNK_WORDS, SPAN_WORDS, TILE_WORDS};

/// Tokens of a page.
pub const PAGE_TOKENS: usize = 16;

/// Most new tokens that a sequence may have to be cut by keys; more are cut by queries.
pub const DECODE_TOKENS_MAX: usize = 8;

/// Keys of a chunk, and queries of a tile: both begin at multiples of this.
pub const CHUNK_TOKENS: usize = 128;
const TILE_TOKENS: usize = 128;

/// The place of a token that has none.
const NOWHERE: u32 = u32::MAX;

/// The widest head that the plain kernels have room for.
const WIDTH_MAX: usize = 256;

const THREADS: usize = 128;
const PLAIN_PREFILL_THREADS: usize = 256;

/// Queries that a block of decoding takes at a time on tensor cores, and its warps.
const DECODE_ROWS: usize = 16;
const WARPS: usize = 4;

/// Keys and values of one layer.
pub struct Pages {
    /// `(P, 2, G, 16, D)`: in a page first all keys, then all values.
    values: Tensor,
}

impl Pages {
    /// `page_count` pages for a layer of this shape, beside `like` and in its dtype. What they hold is anything.
    ///
    /// # Errors
    /// When the device cannot hold them, or is none with kernels.
    pub fn new(page_count: usize, attention: &Attention, like: &Tensor) -> Result<Self> {
        let shape = (page_count, 2, attention.kv_head_count, PAGE_TOKENS, attention.head_width);
        Ok(Self { values: gpu(like)?.empty(like, shape, like.dtype())? })
    }

    /// Number of pages.
    pub fn count(&self) -> usize {
        self.values.dims()[0]
    }

    /// Bytes of one page.
    pub fn page_bytes(dtype: DType, attention: &Attention) -> usize {
        2 * attention.kv_head_count * PAGE_TOKENS * attention.head_width * dtype.size_in_bytes()
    }

    /// Turns the queries of every row in place, and writes the turned keys and the values to the rows' slots.
    ///
    /// * `qkv`: `(T, (H + 2 G) D)`. `slots`: `(T,)` u32, as [`Plan::slots`].
    ///
    /// # Errors
    /// When shapes or dtypes disagree.
    pub fn write(&self, qkv: &Tensor, angles: &Angles, slots: &Tensor, attention: &Attention) -> Result<()> {
        let t = self.check(qkv, attention)?;
        if slots.dims() != [t] || angles.dims()? != (t, attention.head_width / 2) {
            bail!("paged: {t} rows, {:?} slots, angles {:?}", slots.dims(), angles.dims()?);
        }
        let [cos, sin] = angles.arguments()?;
        let arguments = [
            Argument::write(&self.values)?,
            Argument::write(qkv)?,
            cos,
            sin,
            Argument::read(slots)?,
            Argument::int(attention.head_count)?,
            Argument::int(attention.kv_head_count)?,
            Argument::int(attention.head_width)?,
        ];
        gpu(qkv)?.launch(&kernel_name("paged_write", qkv.dtype()), Grid::of(t, THREADS), &arguments)
    }

    /// Attention of every row over the keys that its sequence has in pages, its own among them.
    ///
    /// * `out`: `(T, H D)`, written. `qkv`: as [`Pages::write`] left it.
    ///
    /// # Errors
    /// When shapes or dtypes disagree, or `partial` has too little room.
    pub fn attend(
        &self,
        out: &Tensor,
        qkv: &Tensor,
        tables: &Tables,
        partial: &Partial,
        attention: &Attention,
    ) -> Result<()> {
        let t = self.check(qkv, attention)?;
        if out.dims() != [t, attention.head_count * attention.head_width] || out.dtype() != qkv.dtype() {
            bail!("paged: attention of {:?} into {:?} {:?}", qkv.dims(), out.dims(), out.dtype());
        }
        if tables.chunk_count > 0 {
            self.decode(out, qkv, tables, partial, attention)?;
        }
        if tables.tile_count > 0 {
            self.prefill(out, qkv, tables, attention)?;
        }
        Ok(())
    }

    fn decode(&self, out: &Tensor, qkv: &Tensor, tables: &Tables, partial: &Partial, at: &Attention) -> Result<()> {
        let (gpu, dtype, width) = (gpu(qkv)?, qkv.dtype(), at.head_width);
        let rows_max = tables.tokens_max * at.group();
        if partial.room < tables.chunk_count * tables.tokens_max {
            bail!(
                "paged: {} chunks of up to {} tokens where {} of one have room",
                tables.chunk_count,
                tables.tokens_max,
                partial.room
            );
        }
        let on_tensor_cores = on_tensor_cores(dtype, width);
        let mut arguments = vec![
            Argument::write(&partial.sums)?,
            Argument::write(&partial.states)?,
            Argument::read(qkv)?,
            Argument::read(&self.values)?,
            Argument::read(&tables.chunks)?,
            Argument::int(at.head_count)?,
            Argument::int(at.kv_head_count)?,
        ];
        if !on_tensor_cores {
            arguments.push(Argument::int(width)?);
        }
        arguments.extend([Argument::int(at.window.unwrap_or(0))?, at.scale().into(), Argument::int(rows_max)?]);
        let (name, shared_bytes) = match on_tensor_cores {
            true => (format!("paged_decode_bf16_d{width}"), decode_shared_bytes(width)),
            false => (kernel_name("paged_decode_plain", dtype), 0),
        };
        let grid = Grid { blocks: [tables.chunk_count, at.kv_head_count, 1], threads: THREADS, shared_bytes };
        gpu.launch(&name, grid, &arguments)?;
        let arguments = [
            Argument::write(out)?,
            Argument::read(&partial.sums)?,
            Argument::read(&partial.states)?,
            Argument::read(&tables.spans)?,
            Argument::int(at.head_count)?,
            Argument::int(at.kv_head_count)?,
            Argument::int(width)?,
            Argument::int(rows_max)?,
        ];
        let grid =
            Grid { blocks: [qkv.dim(0)?, at.head_count, 1], threads: width.next_multiple_of(32), shared_bytes: 0 };
        gpu.launch(&kernel_name("paged_combine", dtype), grid, &arguments)
    }

    fn prefill(&self, out: &Tensor, qkv: &Tensor, tables: &Tables, at: &Attention) -> Result<()> {
        let (dtype, width) = (qkv.dtype(), at.head_width);
        let on_tensor_cores = on_tensor_cores(dtype, width);
        let mut arguments = vec![
            Argument::write(out)?,
            Argument::read(qkv)?,
            Argument::read(&self.values)?,
            Argument::read(&tables.page_list)?,
            Argument::read(&tables.tiles)?,
            Argument::int(at.head_count)?,
            Argument::int(at.kv_head_count)?,
        ];
        if !on_tensor_cores {
            arguments.push(Argument::int(width)?);
        }
        arguments.extend([Argument::int(at.window.unwrap_or(0))?, at.scale().into()]);
        let (name, threads, shared_bytes) = match on_tensor_cores {
            // Queries, 64 keys, 64 values.
            true => {
                let bytes = (TILE_TOKENS + 2 * 64) * width * dtype.size_in_bytes();
                (format!("paged_prefill_bf16_d{width}"), THREADS, bytes)
            }
            false => (kernel_name("paged_prefill_plain", dtype), PLAIN_PREFILL_THREADS, 0),
        };
        gpu(qkv)?.launch(
            &name,
            Grid { blocks: [tables.tile_count, at.head_count, 1], threads, shared_bytes },
            &arguments,
        )
    }

    /// Rows of a `qkv` that fits the pages.
    fn check(&self, qkv: &Tensor, attention: &Attention) -> Result<usize> {
        let (t, columns) = qkv.dims2()?;
        let (heads, kv_heads, width) = (attention.head_count, attention.kv_head_count, attention.head_width);
        let fits = self.values.dims()[1..] == [2, kv_heads, PAGE_TOKENS, width] && self.values.dtype() == qkv.dtype();
        if kv_heads == 0 || heads % kv_heads != 0 || columns != attention.qkv_width() || !fits {
            bail!(
                "paged: qkv {:?} {:?}, {heads} heads over {kv_heads} of {width}, pages {:?} {:?}",
                qkv.dims(),
                qkv.dtype(),
                self.values.dims(),
                self.values.dtype()
            );
        }
        if width > WIDTH_MAX || width % 2 == 1 {
            bail!("paged: heads of {width}, they are to be even and at most {WIDTH_MAX} wide");
        }
        Ok(t)
    }
}

fn on_tensor_cores(dtype: DType, width: usize) -> bool {
    dtype == DType::BF16 && matches!(width, 64 | 128)
}

/// Keys, values, queries and exponentials in bf16; two floats for each warp and row.
fn decode_shared_bytes(width: usize) -> usize {
    let values = 2 * CHUNK_TOKENS * width + DECODE_ROWS * width + DECODE_ROWS * CHUNK_TOKENS;
    values * DType::BF16.size_in_bytes() + 2 * WARPS * DECODE_ROWS * size_of::<f32>()
}

/// The place where this tensor's kernels run.
fn gpu(tensor: &Tensor) -> Result<Gpu> {
    match Gpu::of(tensor) {
        Some(gpu) => Ok(gpu),
        None => bail!("paged attention of `ops` runs on a card; processors have crate `cpu`"),
    }
}

/// What blocks leave for the one that adds up: room for a number of chunks.
pub struct Partial {
    /// `(chunks, G, rows, D)` f32.
    sums: Tensor,
    /// `(chunks, G, rows, 2)` f32: of each row the largest score and the sum of the exponentials.
    states: Tensor,
    room: usize,
}

impl Partial {
    /// Room for `room` chunks of sequences with one new token, half as many of sequences with up to two, and so on.
    ///
    /// # Errors
    /// When the device cannot hold it, or is none with kernels.
    pub fn new(room: usize, attention: &Attention, like: &Tensor) -> Result<Self> {
        let (rows, gpu) = (room * attention.head_count, gpu(like)?);
        let sums = gpu.empty(like, rows * attention.head_width, DType::F32)?;
        let states = gpu.empty(like, rows * 2, DType::F32)?;
        Ok(Self { sums, states, room })
    }

    /// What [`Partial::new`] was asked for.
    pub fn room(&self) -> usize {
        self.room
    }
}

/// A [`Plan`] where the kernels read it.
pub struct Tables {
    /// Positions `(T,)`.
    pub positions: Tensor,
    /// Slots `(T,)`.
    pub slots: Tensor,
    chunks: Tensor,
    spans: Tensor,
    tiles: Tensor,
    page_list: Tensor,
    chunk_count: usize,
    tile_count: usize,
    tokens_max: usize,
}

impl Tables {
    /// The plan, uploaded beside `like`.
    ///
    /// # Errors
    /// When the device cannot hold it, or is none with kernels.
    pub fn new(plan: &Plan, like: &Tensor) -> Result<Self> {
        let gpu = gpu(like)?;
        Ok(Self {
            positions: gpu.list(&plan.positions, like)?,
            slots: gpu.list(&plan.slots, like)?,
            chunks: gpu.list(&plan.chunks, like)?,
            spans: gpu.list(&plan.spans, like)?,
            tiles: gpu.list(&plan.tiles, like)?,
            page_list: gpu.list(&plan.page_list, like)?,
            chunk_count: plan.chunk_count(),
            tile_count: plan.tiles.len() / TILE_WORDS,
            tokens_max: plan.tokens_max,
        })
    }

    /// Places inside of `words` (u32) where plans of up to `rows` rows and exactly `chunks` chunks will be put, in the
    /// order of [`Plan::words`]; for sequences of up to `tokens_max` new tokens.
    ///
    /// # Errors
    /// When `words` is too short.
    pub fn within(words: &Tensor, rows: usize, chunks: usize, tokens_max: usize) -> Result<Self> {
        let mut start = 0;
        let mut next = |count: usize| {
            start += count;
            words.narrow(0, start - count, count)
        };
        let (positions, slots) = (next(rows)?, next(rows)?);
        let (spans, chunk_words) = (next(rows * SPAN_WORDS)?, next(chunks * CHUNK_WORDS)?);
        let nothing = words.narrow(0, 0, 1)?;
        Ok(Self {
            positions,
            slots,
            chunks: chunk_words,
            spans,
            tiles: nothing.clone(),
            page_list: nothing,
            chunk_count: chunks,
            tile_count: 0,
            tokens_max,
        })
    }
}

impl Plan {
    /// What [`Tables::within`] expects, once the plan is filled up.
    pub fn words(&self) -> impl Iterator<Item = u32> + '_ {
        [&self.positions, &self.slots, &self.spans, &self.chunks].into_iter().flatten().copied()
    }

    /// Numbers of [`Plan::words`] for this many rows and chunks.
    pub fn word_count(rows: usize, chunks: usize) -> usize {
        rows * (2 + SPAN_WORDS) + chunks * CHUNK_WORDS
    }
}
