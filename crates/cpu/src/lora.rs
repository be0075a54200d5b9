//! Low-rank adapters on top of packed weights.

use std::ops::Range;

use crate::Team;
use crate::disjoint::Disjoint;
use crate::simd::{Kernel, LANES, Simd, run};

/// One adapted weight, `scale * B A` of rank R.
#[derive(Debug, Clone, Copy)]
pub struct Lora<'a> {
    /// `(R, K)`.
    pub a: &'a [f32],
    /// `(R, N)`: the transpose of `B`.
    pub b: &'a [f32],
    /// Inner width, R.
    pub rank: usize,
    /// What the update is multiplied with.
    pub scale: f32,
}

/// An update of some rows, each of which goes through the same adapted weight.
#[derive(Debug, Clone)]
pub struct LoraUpdate<'a> {
    /// The rows.
    pub rows: Range<usize>,
    /// The weight.
    pub lora: Lora<'a>,
    /// The first output that it adds to.
    pub first_column: usize,
}

/// Rows, inner rows and outputs that a thread takes at a time.
const CHUNK_ROWS: usize = 16;
const CHUNK_RANKS: usize = 8;
const CHUNK_OUTPUTS: usize = 512;

/// Rows that share each load of `A` and `B`.
const TILE_ROWS: usize = 4;

/// Multiplications below which waking other threads costs more than they save.
const SHARED_MIN: usize = 1 << 16;

/// Adds `scale * x A^T B^T` to some columns of some rows, for all updates at once: first all inner products, then all
/// outputs, each on all threads.
///
/// * `x`: `(T, K)`, where all updates have the same K. `y`: `(T, stride)`.
/// * `updates`: in the order of their rows; those of the same rows in the order of their columns. They do not overlap.
/// * `side`: room that is kept from call to call.
///
/// # Panics
/// When shapes disagree, or updates overlap.
///
/// Source: Hu et al. 2021, eq. 3.
pub fn add_loras(
    team: &Team,
    x: &[f32],
    y: &mut [f32],
    stride: usize,
    updates: &[LoraUpdate<'_>],
    side: &mut Vec<f32>,
) {
    check(x, y, stride, updates);
    let Some(first) = updates.first() else { return };
    let inputs = first.lora.inputs();
    let (mut places, mut inner_count, mut work) = (Vec::with_capacity(updates.len()), 0, 0);
    for update in updates {
        places.push(inner_count);
        inner_count += update.rows.len() * update.lora.rank;
        work += update.rows.len() * update.lora.rank * (inputs + update.lora.outputs());
    }
    if side.len() < inner_count {
        side.resize(inner_count, 0.0);
    }
    let each = |count: usize, task: &(dyn Fn(usize) + Sync)| match work < SHARED_MIN {
        true => (0..count).for_each(task),
        false => team.each(count, task),
    };
    let jobs = jobs(updates, |lora| (lora.rank, CHUNK_RANKS));
    {
        let side = Disjoint::new(&mut side[..inner_count]);
        each(jobs.len(), &|index| {
            let Job { update, rows, part } = &jobs[index];
            let (lora, place) = (updates[*update].lora, places[*update]);
            // SAFETY: inner products have a place for each row and inner row of each update, and every job has its own.
            let to = |row: usize| unsafe { side.part(place + row * lora.rank + part.start, part.len()) };
            let x = &x[(updates[*update].rows.start + rows.start) * inputs..][..rows.len() * inputs];
            run(team.isa(), Down { lora, inputs, x, rows: rows.clone(), ranks: part.clone(), to });
        });
    }
    let jobs = self::jobs(updates, |lora| (lora.outputs(), CHUNK_OUTPUTS));
    let y = Disjoint::new(y);
    each(jobs.len(), &|index| {
        let Job { update, rows, part } = &jobs[index];
        let LoraUpdate { lora, first_column, rows: own } = &updates[*update];
        // SAFETY: updates do not overlap, as was checked, and of one update every job has rows and columns of its own.
        let to = |row: usize| unsafe { y.part((own.start + row) * stride + first_column + part.start, part.len()) };
        let inner = &side[places[*update]..][..own.len() * lora.rank];
        run(team.isa(), Up { lora: *lora, inner, rows: rows.clone(), columns: part.clone(), to });
    });
}

fn check(x: &[f32], y: &[f32], stride: usize, updates: &[LoraUpdate<'_>]) {
    let Some(first) = updates.first() else { return };
    let (inputs, rows) = (first.lora.inputs(), y.len() / stride);
    assert_eq!((x.len(), y.len()), (rows * inputs, rows * stride), "{rows} rows of {inputs} and {stride}");
    for LoraUpdate { rows: own, lora, first_column } in updates {
        let (rank, outputs) = (lora.rank, lora.outputs());
        assert_eq!((lora.a.len(), lora.b.len()), (rank * inputs, rank * outputs), "an adapter of rank {rank}");
        assert!(own.start <= own.end && own.end <= rows, "rows {own:?} of {rows}");
        assert!(first_column + outputs <= stride, "{outputs} columns from {first_column} of {stride}");
    }
    let is_apart = |pair: &[LoraUpdate<'_>]| {
        let are_beside =
            pair[0].rows == pair[1].rows && pair[0].first_column + pair[0].lora.outputs() <= pair[1].first_column;
        are_beside || pair[0].rows.end <= pair[1].rows.start
    };
    assert!(updates.windows(2).all(is_apart), "updates overlap");
}

impl Lora<'_> {
    fn inputs(&self) -> usize {
        self.a.len() / self.rank.max(1)
    }

    fn outputs(&self) -> usize {
        self.b.len() / self.rank.max(1)
    }
}

/// Some rows of an update, counted from its first, and some of its inner rows or outputs.
struct Job {
    update: usize,
    rows: Range<usize>,
    part: Range<usize>,
}

fn jobs(updates: &[LoraUpdate<'_>], parts: impl Fn(&Lora<'_>) -> (usize, usize)) -> Vec<Job> {
    let chunks = |count: usize, most: usize| (0..count).step_by(most).map(move |at| at..count.min(at + most));
    let mut jobs = Vec::new();
    for (update, LoraUpdate { rows, lora, .. }) in updates.iter().enumerate() {
        let (count, most) = parts(lora);
        for rows in chunks(rows.len(), CHUNK_ROWS) {
            jobs.extend(chunks(count, most).map(|part| Job { update, rows: rows.clone(), part }));
        }
    }
    jobs
}

/// Inner products of some rows with some rows of `A`, times the scale.
struct Down<'a, F> {
    lora: Lora<'a>,
    inputs: usize,
    x: &'a [f32],
    rows: Range<usize>,
    ranks: Range<usize>,
    to: F,
}

impl<'a, F: Fn(usize) -> &'a mut [f32]> Kernel for Down<'_, F> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let mut first = 0;
        while first + TILE_ROWS <= self.rows.len() {
            self.tile::<S, TILE_ROWS>(simd, first);
            first += TILE_ROWS;
        }
        (first..self.rows.len()).for_each(|row| self.tile::<S, 1>(simd, row));
    }
}

impl<'a, F: Fn(usize) -> &'a mut [f32]> Down<'_, F> {
    #[inline(always)]
    fn tile<S: Simd, const R: usize>(&self, simd: S, first: usize) {
        let Self { inputs, ref ranks, .. } = *self;
        let to: [&mut [f32]; R] = std::array::from_fn(|row| (self.to)(self.rows.start + first + row));
        let a = &self.lora.a[ranks.start * inputs..ranks.end * inputs];
        for (rank, a) in a.chunks_exact(inputs).enumerate() {
            let mut sums = [simd.splat(0.0); R];
            for (block, a) in a.chunks(LANES).enumerate() {
                let a = simd.load_some(a);
                for row in 0..R {
                    let x = &self.x[(first + row) * inputs..][..inputs];
                    let x = simd.load_some(&x[block * LANES..inputs.min((block + 1) * LANES)]);
                    sums[row] = simd.mul_add(x, a, sums[row]);
                }
            }
            for row in 0..R {
                to[row][rank] = simd.sum(sums[row]) * self.lora.scale;
            }
        }
    }
}

/// Adds to some columns of some rows what their inner products make with `B`.
struct Up<'a, F> {
    lora: Lora<'a>,
    /// Of the update's rows.
    inner: &'a [f32],
    rows: Range<usize>,
    columns: Range<usize>,
    to: F,
}

impl<'a, F: Fn(usize) -> &'a mut [f32]> Kernel for Up<'_, F> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let mut first = 0;
        while first + TILE_ROWS <= self.rows.len() {
            self.tile::<S, TILE_ROWS>(simd, first);
            first += TILE_ROWS;
        }
        (first..self.rows.len()).for_each(|row| self.tile::<S, 1>(simd, row));
    }
}

impl<'a, F: Fn(usize) -> &'a mut [f32]> Up<'_, F> {
    #[inline(always)]
    fn tile<S: Simd, const R: usize>(&self, simd: S, first: usize) {
        let (rank, outputs) = (self.lora.rank, self.lora.outputs());
        let first = self.rows.start + first;
        let to: [&mut [f32]; R] = std::array::from_fn(|row| (self.to)(first + row));
        let inner: [&[f32]; R] = std::array::from_fn(|row| &self.inner[(first + row) * rank..][..rank]);
        for column in (0..self.columns.len()).step_by(LANES) {
            let own = column..self.columns.len().min(column + LANES);
            let in_b = self.columns.start + own.start..self.columns.start + own.end;
            let mut sums = [simd.splat(0.0); R];
            for (at, b) in self.lora.b.chunks_exact(outputs).enumerate() {
                let b = simd.load_some(&b[in_b.clone()]);
                for row in 0..R {
                    sums[row] = simd.mul_add(simd.splat(inner[row][at]), b, sums[row]);
                }
            }
            for row in 0..R {
                let y = &mut to[row][own.clone()];
                simd.store_some(simd.add(simd.load_some(y), sums[row]), y);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Isa;

    fn ramp(len: usize, step: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * step % 103) as f32 - 51.0) * 0.01).collect()
    }

    /// Three adapters over 39 rows, one of them on two ranges of columns, some rows without any.
    #[test]
    fn updates_are_those_of_f64_and_of_each_row_alone() {
        for isa in Isa::available() {
            for (k, n, ranks, threads) in [(1, 1, [1, 2, 1], 2), (33, 20, [3, 17, 8], 1), (64, 1100, [16, 5, 9], 3)] {
                let (team, t, stride) = (Team::new(threads).with_isa(isa), 39, 2 * n + 5);
                let factors: Vec<[Vec<f32>; 3]> =
                    ranks.iter().map(|rank| [ramp(rank * k, 7), ramp(rank * n, 11), ramp(rank * n, 5)]).collect();
                let lora = |adapter: usize, half: usize| Lora {
                    a: &factors[adapter][0],
                    b: &factors[adapter][1 + half],
                    rank: ranks[adapter],
                    scale: 0.5,
                };
                let update = |rows: Range<usize>, adapter: usize, half: usize| LoraUpdate {
                    rows,
                    lora: lora(adapter, half),
                    first_column: 3 + half * n,
                };
                let updates = [update(0..18, 0, 0), update(0..18, 0, 1), update(18..19, 1, 1), update(25..39, 2, 0)];
                let (x, before) = (ramp(t * k, 13), ramp(t * stride, 17));
                let (mut y, mut side) = (before.clone(), Vec::new());
                add_loras(&team, &x, &mut y, stride, &updates, &mut side);
                for row in 0..t {
                    let own = updates.iter().filter(|update| update.rows.contains(&row));
                    let own: Vec<LoraUpdate<'_>> = own.map(|own| LoraUpdate { rows: 0..1, ..own.clone() }).collect();
                    let (x, mut alone) = (&x[row * k..][..k], before[row * stride..][..stride].to_vec());
                    add_loras(&Team::new(1).with_isa(isa), x, &mut alone, stride, &own, &mut Vec::new());
                    assert_eq!(alone, y[row * stride..][..stride], "{isa:?} row {row}");
                    for (column, got) in alone.iter().enumerate() {
                        let mut want = f64::from(before[row * stride + column]);
                        for LoraUpdate { lora, first_column, .. } in &own {
                            let output = column.checked_sub(*first_column).filter(|output| *output < n);
                            for r in output.iter().flat_map(|_| 0..lora.rank) {
                                let dot: f64 = (0..k).map(|i| f64::from(x[i]) * f64::from(lora.a[r * k + i])).sum();
                                want += 0.5 * dot * f64::from(lora.b[r * n + output.unwrap()]);
                            }
                        }
                        assert!((f64::from(*got) - want).abs() < 1e-5, "{isa:?}: {got} for {want}");
                    }
                }
            }
        }
    }

    #[test]
    fn updates_that_overlap_are_refused() {
        let (a, b) = ([1.0], [1.0; 4]);
        let lora = Lora { a: &a, b: &b, rank: 1, scale: 1.0 };
        let update = |rows, first_column| LoraUpdate { rows, lora, first_column };
        for updates in [
            [update(0..2, 0), update(1..3, 4)],
            [update(0..2, 0), update(0..2, 3)],
            [update(1..2, 0), update(0..1, 0)],
            [update(0..2, 0), update(2..4, 0)],
        ] {
            let add = || add_loras(&Team::new(1), &[1.0; 3], &mut [0.0; 24], 8, &updates, &mut Vec::new());
            assert!(std::panic::catch_unwind(add).is_err(), "{updates:?}");
        }
    }
}
