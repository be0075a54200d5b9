//! Low-rank adapters on top of packed weights.

use crate::Team;
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

/// Rows that a thread takes at a time.
const CHUNK_ROWS: usize = 16;

/// Rows that share each load of `A` and `B`.
const TILE_ROWS: usize = 4;

/// Adds `scale * x A^T B^T` to some columns of rows.
///
/// * `x`: `(T, K)`.
/// * `y`: `(T, stride)`; the N columns from `first_column` get the update.
///
/// # Panics
/// When shapes disagree.
///
/// Source: Hu et al. 2021, eq. 3.
pub fn add_lora(team: &Team, x: &[f32], lora: Lora<'_>, y: &mut [f32], stride: usize, first_column: usize) {
    let Lora { a, b, rank, .. } = lora;
    if rank == 0 || y.is_empty() {
        return;
    }
    let (rows, inputs, outputs) = (y.len() / stride, a.len() / rank, b.len() / rank);
    assert_eq!((a.len(), b.len()), (rank * inputs, rank * outputs), "an adapter of rank {rank}");
    assert_eq!((x.len(), y.len()), (rows * inputs, rows * stride), "{rows} rows of {inputs} and {stride}");
    assert!(first_column + outputs <= stride, "{outputs} columns from {first_column} of {stride}");
    team.each_chunk(y, CHUNK_ROWS * stride, &|index, y| {
        let x = &x[index * CHUNK_ROWS * inputs..][..y.len() / stride * inputs];
        run(team.isa(), Update { lora, inputs, outputs, stride, first_column, x, y });
    });
}

struct Update<'a> {
    lora: Lora<'a>,
    inputs: usize,
    outputs: usize,
    stride: usize,
    first_column: usize,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl Kernel for Update<'_> {
    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let rows = self.y.len() / self.stride;
        let mut inner = vec![[0.0; TILE_ROWS]; self.lora.rank];
        let mut row = 0;
        while row + TILE_ROWS <= rows {
            self.rows::<S, TILE_ROWS>(simd, row, &mut inner);
            row += TILE_ROWS;
        }
        while row < rows {
            self.rows::<S, 1>(simd, row, &mut inner);
            row += 1;
        }
    }
}

impl Update<'_> {
    #[inline(always)]
    fn rows<S: Simd, const R: usize>(&mut self, simd: S, first: usize, inner: &mut [[f32; TILE_ROWS]]) {
        let Self { inputs, outputs, stride, first_column, .. } = *self;
        for (a, inner) in self.lora.a.chunks_exact(inputs).zip(&mut *inner) {
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
                inner[row] = simd.sum(sums[row]) * self.lora.scale;
            }
        }
        for column in (0..outputs).step_by(LANES) {
            let columns = column..outputs.min(column + LANES);
            let mut sums = [simd.splat(0.0); R];
            for (b, inner) in self.lora.b.chunks_exact(outputs).zip(&*inner) {
                let b = simd.load_some(&b[columns.clone()]);
                for row in 0..R {
                    sums[row] = simd.mul_add(simd.splat(inner[row]), b, sums[row]);
                }
            }
            for row in 0..R {
                let y = &mut self.y[(first + row) * stride + first_column..][columns.clone()];
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

    #[test]
    fn updates_are_those_of_f64_and_of_each_row_alone() {
        for isa in Isa::available() {
            let team = Team::new(2).with_isa(isa);
            for (t, k, n, rank) in [(1, 1, 1, 1), (7, 33, 20, 3), (39, 64, 48, 16)] {
                let (a, b, x) = (ramp(rank * k, 7), ramp(rank * n, 11), ramp(t * k, 13));
                let lora = Lora { a: &a, b: &b, rank, scale: 0.5 };
                let (stride, first) = (n + 5, 3);
                let before = ramp(t * stride, 17);
                let mut y = before.clone();
                add_lora(&team, &x, lora, &mut y, stride, first);
                for row in 0..t {
                    let mut alone = before[row * stride..][..stride].to_vec();
                    add_lora(&team, &x[row * k..][..k], lora, &mut alone, stride, first);
                    assert_eq!(alone, y[row * stride..][..stride], "{isa:?} row {row} of {t}");
                    for (column, got) in alone.iter().enumerate() {
                        let mut want = f64::from(before[row * stride + column]);
                        if let Some(output) = column.checked_sub(first).filter(|output| *output < n) {
                            for r in 0..rank {
                                let dot: f64 =
                                    (0..k).map(|i| f64::from(x[row * k + i]) * f64::from(a[r * k + i])).sum();
                                want += 0.5 * dot * f64::from(b[r * n + output]);
                            }
                        }
                        assert!((f64::from(*got) - want).abs() < 1e-5, "{isa:?}: {got} for {want}");
                    }
                }
            }
        }
    }
}
