//! Weights that somebody else holds row by row, laid out for the kernels one panel at a time.
//!
//! For models that are served out of the memory they are trained in: there is no packed copy. Each product lays out each
//! panel anew in a few hundred KiB of a thread's own, which costs time and no memory; the kernels are those of packed
//! weights, and so are the bits of their results.

use std::cell::RefCell;
use std::sync::Arc;

use half::bf16;

use super::panels::{PANEL, PairPanels, Panels};
use super::product::{self, Job};
#[cfg(target_arch = "x86_64")]
use super::product_bf16;
use super::{Activations, Disjoint};
use crate::simd::{Element, Kernel, LANES, Simd, run};
use crate::{Format, Isa};

/// Rows one after the other, without gaps.
#[derive(Clone, Copy)]
pub enum LentRows<'a> {
    /// 32 bits.
    F32(&'a [f32]),
    /// 16 bits, the upper half of an f32.
    Bf16(&'a [bf16]),
}

/// Somebody who holds the rows of a matrix.
pub trait Lender: Send + Sync {
    /// Calls `act` once, with all rows as they are now.
    fn lend(&self, act: &mut dyn FnMut(LentRows<'_>));
}

/// A matrix at its lender's.
pub(super) struct Lent {
    pub(super) lender: Arc<dyn Lender>,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) format: Format,
    isa: Isa,
}

thread_local! {
    /// One panel, for each kind of kernel.
    static ROOM: RefCell<(Panels<f32>, PairPanels)> = RefCell::new((Panels::room(), PairPanels::room()));
}

impl Lent {
    /// * `format`: [`Format::F32`] or [`Format::Bf16`], as the lender has it.
    pub(super) fn new(lender: Arc<dyn Lender>, (rows, columns): (usize, usize), format: Format, isa: Isa) -> Self {
        assert!(matches!(format, Format::F32 | Format::Bf16), "plain rows are F32 or BF16, not {format}");
        Self { lender, rows, columns, format, isa }
    }

    /// Whether its kernel multiplies pairs of bf16.
    pub(super) fn is_paired(&self) -> bool {
        self.format == Format::Bf16 && self.isa == Isa::Avx512Bf16
    }

    pub(super) fn byte_count(&self) -> usize {
        self.rows * self.columns * if self.format == Format::F32 { 4 } else { 2 }
    }

    /// As [`Lender::lend`], of rows that are as many as were said.
    pub(super) fn lend(&self, mut act: impl FnMut(LentRows<'_>)) {
        self.lender.lend(&mut |rows| {
            let (format, count) = match rows {
                LentRows::F32(values) => (Format::F32, values.len()),
                LentRows::Bf16(values) => (Format::Bf16, values.len()),
            };
            assert_eq!((format, count), (self.format, self.rows * self.columns), "rows that were lent");
            act(rows);
        });
    }

    pub(super) fn decode_row(&self, row: usize, out: &mut [f32]) {
        let range = row * self.columns..(row + 1) * self.columns;
        self.lend(|rows| match rows {
            LentRows::F32(values) => out.copy_from_slice(&values[range.clone()]),
            LentRows::Bf16(values) => {
                out.iter_mut().zip(&values[range.clone()]).for_each(|(out, value)| *out = value.to_f32());
            }
        });
    }

    /// Does a job on rows that were lent.
    pub(super) fn multiply(&self, rows: LentRows<'_>, x: &Activations, job: &Job, out: &Disjoint<'_, f32>) {
        ROOM.with_borrow_mut(|(plain, pairs)| {
            for panel in job.panels.clone() {
                let first = panel * PANEL;
                let columns = PANEL.min(self.rows - first);
                let range = first * self.columns..(first + columns) * self.columns;
                let job = Job {
                    rows: job.rows.clone(),
                    panels: 0..1,
                    first_column: job.first_column + first,
                    columns,
                    stride: job.stride,
                };
                match rows {
                    LentRows::F32(values) => plain.lay(self.isa, &values[range], self.columns),
                    #[cfg(target_arch = "x86_64")]
                    LentRows::Bf16(values) if self.is_paired() => {
                        pairs.lay(self.isa, &values[range], self.columns);
                        product_bf16::multiply(pairs, x, &job, out);
                        continue;
                    }
                    LentRows::Bf16(values) => plain.lay(self.isa, &values[range], self.columns),
                }
                product::multiply(self.isa, plain, x, &job, out);
            }
        });
    }
}

impl Panels<f32> {
    /// Lays out the only panel anew: up to 32 rows, widened, and zeros beyond the last.
    fn lay<E: Element>(&mut self, isa: Isa, rows: &[E], columns: usize) {
        run(isa, Lay { rows, columns, panel: self.resized(columns) });
    }
}

impl PairPanels {
    /// Lays out the only panel anew, likewise.
    fn lay(&mut self, isa: Isa, rows: &[bf16], columns: usize) {
        run(isa, LayPairs { rows, columns, panel: self.resized(columns) });
    }
}

/// `(rows, columns)` to `(columns, 32)`.
struct Lay<'a, E> {
    rows: &'a [E],
    columns: usize,
    panel: &'a mut [[f32; PANEL]],
}

impl<E: Element> Kernel for Lay<'_, E> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { rows, columns, panel } = self;
        for first in (0..columns).step_by(LANES) {
            let count = LANES.min(columns - first);
            for half in 0..PANEL / LANES {
                let mut block = [simd.splat(0.0); LANES];
                for (lane, row) in rows.chunks_exact(columns).skip(half * LANES).take(LANES).enumerate() {
                    let values = &row[first..first + count];
                    block[lane] = match values.try_into() {
                        Ok(values) => E::load(simd, values),
                        Err(_) => {
                            let mut some = [E::default(); LANES];
                            some[..count].copy_from_slice(values);
                            E::load(simd, &some)
                        }
                    };
                }
                let block = simd.transpose(block);
                for index in 0..count {
                    simd.store(block[index], &mut panel[first + index].as_chunks_mut().0[half]);
                }
            }
        }
    }
}

/// `(rows, columns)` to `(columns / 2, 32)` pairs, the first of each in the low half.
struct LayPairs<'a> {
    rows: &'a [bf16],
    columns: usize,
    panel: &'a mut [[u32; PANEL]],
}

impl Kernel for LayPairs<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { rows, columns, panel } = self;
        for first in (0..panel.len()).step_by(LANES) {
            let count = LANES.min(panel.len() - first);
            for half in 0..PANEL / LANES {
                let mut block = [simd.splat(0.0); LANES];
                for (lane, row) in rows.chunks_exact(columns).skip(half * LANES).take(LANES).enumerate() {
                    let row = &row[2 * first..columns.min(2 * (first + LANES))];
                    // Moved as f32, never computed with, so every pattern of bits stays what it is.
                    let mut some = [0.0; LANES];
                    for (to, pair) in some.iter_mut().zip(row.chunks(2)) {
                        let high = pair.get(1).map_or(0, |high| u32::from(high.to_bits()) << 16);
                        *to = f32::from_bits(high | u32::from(pair[0].to_bits()));
                    }
                    block[lane] = simd.load(&some);
                }
                let block = simd.transpose(block);
                for index in 0..count {
                    let mut some = [0.0; LANES];
                    simd.store(block[index], &mut some);
                    panel[first + index].as_chunks_mut::<LANES>().0[half] = some.map(f32::to_bits);
                }
            }
        }
    }
}
