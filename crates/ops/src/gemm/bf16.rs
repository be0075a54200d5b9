//! bf16 products with f32 sums on AVX512-BF16.
//!
//! Tiling: a tile of `C` is 12 rows x 32 columns, 24 accumulators of 16 f32. Each step of the inner loop takes one
//! pair of `k`: two vectors of packed `B`, twelve broadcast pairs of packed `A`, 24 `vdpbf16ps`, so that loads
//! (14 per 24) never bound it. `A` is packed whole; a task packs the 32 columns of `B` it works on, at most
//! [`K_BLOCK`] deep so that they stay in the second-level cache, and walks all rows of `A` with them.

use std::arch::x86_64::*;
use std::cell::RefCell;

use rayon::prelude::*;

use super::pack::{LANES, Source};
use super::{Matrix, Threads};

/// Rows of a tile.
const TILE_ROWS: usize = 12;
/// Vectors side by side in a tile.
const TILE_VECTORS: usize = 2;
/// Columns of a tile.
const TILE_COLS: usize = TILE_VECTORS * LANES;
/// Depth of a packed block of `B`: 2048 x 32 bf16 are 128 KiB.
const K_BLOCK: usize = 2048;
/// Tasks wanted per thread, so that the last one to finish costs little.
const TASKS_PER_THREAD: usize = 4;

thread_local! {
    static PACKED_A: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
    static PACKED_B: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
}

/// See [`super::gemm`]. Call only when [`super::has_bf16_kernel`] holds.
pub(super) fn gemm(
    threads: Threads,
    alpha: f32,
    a: Matrix<'_>,
    b: Matrix<'_>,
    beta: f32,
    c: &mut [f32],
    c_stride: usize,
) {
    let (left, right) = (Source::left(a), Source::right(b));
    let mut packed = PACKED_A.take();
    pack_left(threads, left, &mut packed);
    let product = Product {
        left: &packed,
        right,
        rows: a.rows,
        k_count: a.cols,
        alpha,
        beta,
        out: Output(c.as_mut_ptr()),
        out_stride: c_stride,
    };
    let panels = b.cols.div_ceil(TILE_COLS);
    match threads {
        Threads::Caller => (0..panels).for_each(|panel| product.panel(panel, 0..a.rows)),
        Threads::Pool => {
            let wanted = TASKS_PER_THREAD * rayon::current_num_threads();
            let row_tiles = a.rows.div_ceil(TILE_ROWS);
            let row_splits = wanted.div_ceil(panels).clamp(1, row_tiles);
            let split_rows = row_tiles.div_ceil(row_splits) * TILE_ROWS;
            (0..panels * row_splits).into_par_iter().for_each(|task| {
                let first = (task / panels * split_rows).min(a.rows);
                product.panel(task % panels, first..(first + split_rows).min(a.rows));
            });
        }
    }
    PACKED_A.set(packed);
}

/// Packs all of `A` as panels of [`TILE_ROWS`] rows, each `[k / 2][12]` pairs.
fn pack_left(threads: Threads, left: Source<'_>, packed: &mut Vec<u32>) {
    let panel_len = left.k_count.div_ceil(2) * TILE_ROWS;
    let panels = left.lane_count.div_ceil(TILE_ROWS);
    if packed.len() < panel_len * panels {
        packed.resize(panel_len * panels, 0);
    }
    let pack = |(panel, out): (usize, &mut [u32])| {
        let store = (1u16 << TILE_ROWS) - 1;
        // SAFETY: `gemm` is only called with the instructions present; `out` is one whole panel.
        unsafe { left.pack(panel * TILE_ROWS, 0, left.k_count, out.as_mut_ptr(), TILE_ROWS, store) };
    };
    let panels = packed[..panel_len * panels].chunks_mut(panel_len.max(1)).enumerate();
    match threads {
        Threads::Caller => panels.for_each(pack),
        Threads::Pool => panels.collect::<Vec<_>>().into_par_iter().with_min_len(4).for_each(pack),
    }
}

/// `C`, written by several tasks in disjoint tiles.
#[derive(Clone, Copy)]
struct Output(*mut f32);
// SAFETY: every task writes its own rows and columns only.
unsafe impl Sync for Output {}

struct Product<'a> {
    left: &'a [u32],
    right: Source<'a>,
    rows: usize,
    k_count: usize,
    alpha: f32,
    beta: f32,
    out: Output,
    out_stride: usize,
}

impl Product<'_> {
    /// Columns `panel * 32..` of the given rows of `C`.
    fn panel(&self, panel: usize, rows: std::ops::Range<usize>) {
        if rows.is_empty() {
            return;
        }
        let mut block = PACKED_B.take();
        if block.len() < K_BLOCK / 2 * TILE_COLS {
            block.resize(K_BLOCK / 2 * TILE_COLS, 0);
        }
        let col = panel * TILE_COLS;
        let cols = (self.right.lane_count - col).min(TILE_COLS);
        let vectors = cols.div_ceil(LANES);
        let mut k = 0;
        loop {
            let k_len = (self.k_count - k).min(K_BLOCK);
            for vector in 0..vectors {
                // SAFETY: the instructions are present; the block holds `K_BLOCK / 2` pairs of `vectors` vectors.
                unsafe {
                    let out = block.as_mut_ptr().add(vector * LANES);
                    self.right.pack(col + vector * LANES, k, k_len, out, vectors * LANES, u16::MAX);
                }
            }
            let beta = if k == 0 { self.beta } else { 1.0 };
            for row in rows.clone().step_by(TILE_ROWS) {
                let tile = Tile {
                    pairs: k_len.div_ceil(2),
                    left: self.left[row / TILE_ROWS * self.k_count.div_ceil(2) * TILE_ROWS + k / 2 * TILE_ROWS..]
                        .as_ptr(),
                    right: block.as_ptr(),
                    alpha: self.alpha,
                    beta,
                    out: self.out.0.wrapping_add(row * self.out_stride + col),
                    out_stride: self.out_stride,
                    last_mask: u16::MAX >> (vectors * LANES - cols),
                };
                // SAFETY: the tile's rows and columns are inside `C` and belong to this task alone.
                unsafe { tile.run((self.rows - row).min(TILE_ROWS), vectors) };
            }
            k += k_len;
            if k >= self.k_count {
                break;
            }
        }
        PACKED_B.set(block);
    }
}

/// One tile of `C` and what it is made from.
struct Tile {
    pairs: usize,
    left: *const u32,
    right: *const u32,
    alpha: f32,
    beta: f32,
    out: *mut f32,
    out_stride: usize,
    /// Columns of the last vector that exist.
    last_mask: u16,
}

impl Tile {
    /// Picks the loop compiled for this number of rows and vectors.
    ///
    /// # Safety
    /// The processor has AVX512 F and BF16; the pointers cover `pairs` steps and the tile of `C`.
    unsafe fn run(&self, rows: usize, vectors: usize) {
        macro_rules! pick {
            ($($rows:literal)*) => {
                // SAFETY: by our own contract.
                match (rows, vectors) {
                    $(
                        ($rows, 1) => unsafe { self.multiply::<$rows, 1>() },
                        ($rows, 2) => unsafe { self.multiply::<$rows, 2>() },
                    )*
                    _ => unreachable!("a tile has 1 to 12 rows and 1 or 2 vectors"),
                }
            };
        }
        pick!(1 2 3 4 5 6 7 8 9 10 11 12)
    }

    #[target_feature(enable = "avx512f,avx512bf16")]
    unsafe fn multiply<const ROWS: usize, const VECTORS: usize>(&self) {
        let mut sums = [[_mm512_setzero_ps(); VECTORS]; ROWS];
        let (mut left, mut right) = (self.left, self.right);
        for _ in 0..self.pairs {
            // SAFETY: packed panels hold `pairs` steps.
            unsafe {
                let mut b = [_mm512_setzero_si512(); VECTORS];
                for (vector, value) in b.iter_mut().enumerate() {
                    *value = _mm512_loadu_si512(right.add(vector * LANES).cast());
                }
                for (row, sums) in sums.iter_mut().enumerate() {
                    let a = bf16_pairs(_mm512_set1_epi32(*left.add(row) as i32));
                    for (sum, b) in sums.iter_mut().zip(&b) {
                        *sum = _mm512_dpbf16_ps(*sum, a, bf16_pairs(*b));
                    }
                }
                left = left.add(TILE_ROWS);
                right = right.add(VECTORS * LANES);
            }
        }
        let alpha = _mm512_set1_ps(self.alpha);
        for (row, sums) in sums.iter().enumerate() {
            for (vector, sum) in sums.iter().enumerate() {
                let mask = if vector + 1 == VECTORS { self.last_mask } else { u16::MAX };
                // SAFETY: masked columns are not touched, the others are inside the tile.
                unsafe {
                    let out = self.out.add(row * self.out_stride + vector * LANES);
                    let mut value = _mm512_mul_ps(*sum, alpha);
                    if self.beta != 0.0 {
                        let old = _mm512_maskz_loadu_ps(mask, out);
                        value = _mm512_fmadd_ps(old, _mm512_set1_ps(self.beta), value);
                    }
                    _mm512_mask_storeu_ps(out, mask, value);
                }
            }
        }
    }
}

#[inline(always)]
fn bf16_pairs(bits: __m512i) -> __m512bh {
    // SAFETY: both are 512 bits without invalid patterns.
    unsafe { std::mem::transmute(bits) }
}
