//! Attention by the kernels of a card (`kernels/attention.cu`): on tensor cores for bf16 heads of 64 and 128, plain
//! loops for everything else.

use candle_core::{DType, Result, Tensor, bail};

use super::{Attention, Saved};
use crate::SeqBounds;
use crate::gpu::{Argument, Gpu, Grid, kernel_name};

/// Rows of the tiles that the kernels for queries take on tensor cores, and of all others.
const QUERY_TILE_ROWS: usize = 128;
const TILE_ROWS: usize = 64;

/// The widest head that the plain kernels have room for; they take two columns at a time.
const WIDTH_MAX: usize = 256;

/// Threads of a block: on tensor cores, and of the plain kernels.
const TENSOR_CORE_THREADS: usize = 128;
const PLAIN_THREADS: usize = 256;

/// Heads of tokens whose delta a block computes.
const DELTA_ITEMS: usize = 64;

/// One of the three kernels that walk tiles.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kernel {
    Forward,
    BackwardQueries,
    BackwardKeys,
}

impl Kernel {
    fn op(self) -> &'static str {
        match self {
            Self::Forward => "attention_forward",
            Self::BackwardQueries => "attention_backward_q",
            Self::BackwardKeys => "attention_backward_kv",
        }
    }

    /// Bytes of dynamic shared memory on tensor cores: bf16 tiles of `width` columns, for keys also what two warps hand
    /// over.
    fn shared_bytes(self, width: usize) -> usize {
        let tile = |rows: usize| rows * width * DType::BF16.size_in_bytes();
        match self {
            // Queries, keys, values.
            Self::Forward => tile(QUERY_TILE_ROWS) + 2 * tile(64),
            // Queries, their gradients, two stages of 32 keys and values.
            Self::BackwardQueries => 2 * tile(QUERY_TILE_ROWS) + 4 * tile(32),
            // Keys, values, two stages of queries and gradients with four floats a query, and the probabilities of 64
            // keys.
            Self::BackwardKeys => {
                let queries = if width > 64 { 32 } else { 64 };
                2 * tile(TILE_ROWS) + 4 * tile(queries) + queries * 16 + TILE_ROWS * queries * 2
            }
        }
    }
}

/// As [`super::forward`].
pub(super) fn forward(gpu: &Gpu, qkv: &Tensor, bounds: &SeqBounds, attention: &Attention) -> Result<(Tensor, Tensor)> {
    let t = bounds.token_count();
    let out = gpu.empty(qkv, (t, attention.q_width()), qkv.dtype())?;
    let lse = gpu.empty(qkv, (t, attention.head_count), DType::F32)?;
    let pointers = [Argument::write(&out)?, Argument::write(&lse)?, Argument::read(qkv)?];
    launch(gpu, Kernel::Forward, qkv, &pointers, bounds, attention)?;
    Ok((out, lse))
}

/// As [`super::backward`].
pub(super) fn backward(
    gpu: &Gpu,
    dout: &Tensor,
    saved: &Saved<'_>,
    bounds: &SeqBounds,
    attention: &Attention,
) -> Result<Tensor> {
    let (t, heads) = (bounds.token_count(), attention.head_count);
    if [saved.qkv, saved.out].iter().any(|saved| saved.dtype() != dout.dtype()) {
        bail!("attention on a card: gradients in {:?}, values in {:?}", dout.dtype(), saved.qkv.dtype());
    }
    let delta = gpu.empty(dout, (t, heads), DType::F32)?;
    let arguments = [
        Argument::write(&delta)?,
        Argument::read(dout)?,
        Argument::read(saved.out)?,
        Argument::int(t * heads)?,
        Argument::int(attention.head_width)?,
    ];
    let blocks = Grid::of((t * heads).div_ceil(DELTA_ITEMS), PLAIN_THREADS);
    gpu.launch(&kernel_name("attention_delta", dout.dtype()), blocks, &arguments)?;
    let dqkv = gpu.empty(dout, (t, attention.qkv_width()), dout.dtype())?;
    let pointers = [
        Argument::write(&dqkv)?,
        Argument::read(dout)?,
        Argument::read(saved.qkv)?,
        Argument::read(saved.lse)?,
        Argument::read(&delta)?,
    ];
    // Each writes its own columns of dqkv.
    launch(gpu, Kernel::BackwardKeys, saved.qkv, &pointers, bounds, attention)?;
    launch(gpu, Kernel::BackwardQueries, saved.qkv, &pointers, bounds, attention)?;
    Ok(dqkv)
}

fn launch(
    gpu: &Gpu,
    kernel: Kernel,
    qkv: &Tensor,
    pointers: &[Argument],
    bounds: &SeqBounds,
    attention: &Attention,
) -> Result<()> {
    let (width, dtype) = (attention.head_width, qkv.dtype());
    if width > WIDTH_MAX || width % 2 == 1 {
        bail!("attention on a card: heads of {width}, they are to be even and at most {WIDTH_MAX} wide");
    }
    let on_tensor_cores = dtype == DType::BF16 && matches!(width, 64 | 128);
    let rows = if on_tensor_cores && kernel != Kernel::BackwardKeys { QUERY_TILE_ROWS } else { TILE_ROWS };
    let tiles = tiles(bounds, rows, kernel);
    if tiles.is_empty() {
        return Ok(());
    }
    let table = Tensor::from_slice(tiles.as_flattened(), (tiles.len(), 4), qkv.device())?;
    let heads = if kernel == Kernel::BackwardKeys { attention.kv_head_count } else { attention.head_count };
    let mut arguments = pointers.to_vec();
    arguments.push(Argument::read(&table)?);
    arguments.extend([Argument::int(attention.head_count)?, Argument::int(attention.kv_head_count)?]);
    if !on_tensor_cores {
        arguments.push(Argument::int(width)?);
    }
    arguments.extend([Argument::int(attention.window.unwrap_or(0))?, attention.scale().into()]);
    let (name, threads, shared_bytes) = match on_tensor_cores {
        true => (format!("{}_bf16_d{width}", kernel.op()), TENSOR_CORE_THREADS, kernel.shared_bytes(width)),
        false => (kernel_name(&format!("{}_plain", kernel.op()), dtype), PLAIN_THREADS, 0),
    };
    gpu.launch(&name, Grid { blocks: [tiles.len(), heads, 1], threads, shared_bytes }, &arguments)
}

/// Every run of `rows` rows of every sequence: where the sequence starts and ends, and the run. Those with the most work
/// come first, so that the last blocks to start are short.
fn tiles(bounds: &SeqBounds, rows: usize, kernel: Kernel) -> Vec<[u32; 4]> {
    let mut tiles: Vec<[u32; 4]> = Vec::new();
    for range in bounds.ranges() {
        let (start, end) = (range.start as u32, range.end as u32);
        tiles.extend(range.step_by(rows).map(|row| [start, end, row as u32, 0]));
    }
    // Keys are seen by the rows after them, queries see the rows before them.
    tiles.sort_by_key(|[start, end, row, _]| match kernel {
        Kernel::BackwardKeys => std::cmp::Reverse(end - row),
        _ => std::cmp::Reverse((row + rows as u32).min(*end) - start),
    });
    tiles
}
