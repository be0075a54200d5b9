//! Steps between products: norms, residual sums, activations and rotations, row by row.

use crate::Team;
use crate::simd::{Kernel, LANES, Simd, run};

/// Numbers that a thread takes at a time; fewer are not worth waking another.
const CHUNK: usize = 8192;

/// Whole rows of `width` in [`CHUNK`] numbers.
fn chunk_rows(width: usize) -> usize {
    (CHUNK / width.max(1)).max(1)
}

/// Root-mean-square norm of every row: `x / sqrt(mean(x^2) + eps) * weight`.
///
/// * `x`, `out`: `(T, C)`.
/// * `weight`: `(C,)`.
///
/// # Panics
/// When shapes disagree.
///
/// Source: Zhang and Sennrich 2019, eq. 4.
pub fn rms_norm(team: &Team, x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    let width = weight.len();
    assert!(x.len() == out.len() && x.len().is_multiple_of(width.max(1)), "{} numbers, rows of {width}", x.len());
    let step = chunk_rows(width) * width.max(1);
    team.each_chunk(out, step, &|index, out| {
        let x = &x[index * step..][..out.len()];
        run(team.isa(), RmsNorm { x, weight, eps, out });
    });
}

struct RmsNorm<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    eps: f32,
    out: &'a mut [f32],
}

impl Kernel for RmsNorm<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let width = self.weight.len();
        for (x, out) in self.x.chunks_exact(width).zip(self.out.chunks_exact_mut(width)) {
            let mut squares = simd.splat(0.0);
            for x in x.chunks(LANES) {
                let x = simd.load_some(x);
                squares = simd.mul_add(x, x, squares);
            }
            let scale = simd.splat(1.0 / (simd.sum(squares) / width as f32 + self.eps).sqrt());
            for ((x, weight), out) in x.chunks(LANES).zip(self.weight.chunks(LANES)).zip(out.chunks_mut(LANES)) {
                let normed = simd.mul(simd.load_some(x), scale);
                simd.store_some(simd.mul(normed, simd.load_some(weight)), out);
            }
        }
    }
}

/// `x += delta`.
///
/// # Panics
/// When the lengths differ.
pub fn add_assign(team: &Team, x: &mut [f32], delta: &[f32]) {
    assert_eq!(x.len(), delta.len(), "lengths of a sum");
    team.each_chunk(x, CHUNK, &|index, x| {
        let delta = &delta[index * CHUNK..][..x.len()];
        run(team.isa(), AddAssign { x, delta });
    });
}

struct AddAssign<'a> {
    x: &'a mut [f32],
    delta: &'a [f32],
}

impl Kernel for AddAssign<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for (x, delta) in self.x.chunks_mut(LANES).zip(self.delta.chunks(LANES)) {
            simd.store_some(simd.add(simd.load_some(x), simd.load_some(delta)), x);
        }
    }
}

/// `silu(gate) * up`, with `silu(x) = x / (1 + e^-x)`.
///
/// * `gate_up`: `(T, 2 F)`: each row's gates, then its ups.
/// * `out`: `(T, F)`.
///
/// # Panics
/// When shapes disagree.
///
/// Source: Shazeer 2020, "GLU Variants Improve Transformer", eq. 5.
pub fn swiglu(team: &Team, gate_up: &[f32], width: usize, out: &mut [f32]) {
    let whole = gate_up.len() == 2 * out.len() && out.len().is_multiple_of(width.max(1));
    assert!(whole, "{} gates and ups for {} results in rows of {width}", gate_up.len(), out.len());
    let step = chunk_rows(2 * width) * width.max(1);
    team.each_chunk(out, step, &|index, out| {
        let gate_up = &gate_up[2 * index * step..][..2 * out.len()];
        run(team.isa(), Swiglu { gate_up, width, out });
    });
}

struct Swiglu<'a> {
    gate_up: &'a [f32],
    width: usize,
    out: &'a mut [f32],
}

impl Kernel for Swiglu<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for (row, out) in self.gate_up.chunks_exact(2 * self.width).zip(self.out.chunks_exact_mut(self.width)) {
            let (gate, up) = row.split_at(self.width);
            for ((gate, up), out) in gate.chunks(LANES).zip(up.chunks(LANES)).zip(out.chunks_mut(LANES)) {
                let (gate, up) = (simd.load_some(gate), simd.load_some(up));
                let below = simd.add(simd.splat(1.0), simd.exp(simd.sub(simd.splat(0.0), gate)));
                simd.store_some(simd.mul(simd.div(gate, below), up), out);
            }
        }
    }
}

/// Cosines and sines of the rotations of some tokens, for all layers.
pub struct Angles {
    half: usize,
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl Angles {
    /// Angles `position * inverse_frequency`.
    ///
    /// Computed in f32 as the models were trained: position and frequency are f32, so is their product.
    ///
    /// * `inverse_frequencies`: `(D / 2,)`.
    pub fn new(positions: impl IntoIterator<Item = usize>, inverse_frequencies: &[f32]) -> Self {
        let angles = positions
            .into_iter()
            .flat_map(|position| inverse_frequencies.iter().map(move |frequency| position as f32 * frequency));
        let (cos, sin) = angles.map(|angle| (angle.cos(), angle.sin())).unzip();
        Self { half: inverse_frequencies.len(), cos, sin }
    }
}

/// Rotates the first heads of every row in place: `(a, b) -> (a cos - b sin, b cos + a sin)` for the halves of a head.
///
/// * `x`: `(T, W)`: `head_count` heads of width `D`, then columns that stay as they are.
/// * `angles`: of the same T tokens.
///
/// # Panics
/// When the heads are wider than the rows or the tokens are not as many.
///
/// Source: Su et al. 2021, eq. 34, with the halves of a head in place of neighbouring pairs.
pub fn rope(team: &Team, x: &mut [f32], width: usize, head_count: usize, angles: &Angles) {
    let half = angles.half;
    assert!(head_count * 2 * half <= width, "{head_count} heads of {} in rows of {width}", 2 * half);
    assert_eq!(x.len() * half, angles.cos.len() * width, "angles of as many tokens as rows");
    let rows = chunk_rows(width);
    team.each_chunk(x, rows * width.max(1), &|index, x| {
        let tokens = index * rows * half..index * rows * half + x.len() / width * half;
        let (cos, sin) = (&angles.cos[tokens.clone()], &angles.sin[tokens]);
        run(team.isa(), Rope { x, width, head_count, half, cos, sin });
    });
}

struct Rope<'a> {
    x: &'a mut [f32],
    width: usize,
    head_count: usize,
    half: usize,
    cos: &'a [f32],
    sin: &'a [f32],
}

impl Kernel for Rope<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let half = self.half;
        let angles = self.cos.chunks_exact(half).zip(self.sin.chunks_exact(half));
        for (row, (cos, sin)) in self.x.chunks_exact_mut(self.width).zip(angles) {
            for head in row[..self.head_count * 2 * half].chunks_exact_mut(2 * half) {
                let (a, b) = head.split_at_mut(half);
                let halves = a.chunks_mut(LANES).zip(b.chunks_mut(LANES));
                for ((a, b), (cos, sin)) in halves.zip(cos.chunks(LANES).zip(sin.chunks(LANES))) {
                    let (x, y) = (simd.load_some(a), simd.load_some(b));
                    let (cos, sin) = (simd.load_some(cos), simd.load_some(sin));
                    simd.store_some(simd.sub(simd.mul(x, cos), simd.mul(y, sin)), a);
                    simd.store_some(simd.add(simd.mul(y, cos), simd.mul(x, sin)), b);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Isa;

    fn ramp(len: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 37 % 101) as f32 - 50.0) * 0.07).collect()
    }

    fn close(got: &[f32], want: impl Iterator<Item = f64>) {
        let mut count = 0;
        for (got, want) in got.iter().zip(want) {
            assert!((f64::from(*got) - want).abs() <= 1e-6 * want.abs().max(1.0), "{got} for {want}");
            count += 1;
        }
        assert_eq!(count, got.len());
    }

    /// Widths with and without a rest behind whole vectors; enough rows for several chunks.
    const SHAPES: [(usize, usize); 4] = [(1, 1), (3, 33), (40, 576), (5, 16)];

    fn teams() -> impl Iterator<Item = Team> {
        Isa::available().map(|isa| Team::new(2).with_isa(isa))
    }

    #[test]
    fn norms_are_those_of_f64() {
        for team in teams() {
            for (rows, width) in SHAPES {
                let (x, weight) = (ramp(rows * width), ramp(width));
                let mut out = vec![f32::NAN; x.len()];
                rms_norm(&team, &x, &weight, 1e-5, &mut out);
                let want = x.chunks(width).flat_map(|row| {
                    let squares: f64 = row.iter().map(|x| f64::from(*x).powi(2)).sum();
                    let scale = 1.0 / (squares / width as f64 + f64::from(1e-5f32)).sqrt();
                    row.iter().zip(&weight).map(move |(x, w)| f64::from(*x) * scale * f64::from(*w))
                });
                close(&out, want);
            }
        }
    }

    #[test]
    fn sums_and_swiglu_are_those_of_f64() {
        for team in teams() {
            for (rows, width) in SHAPES {
                let gate_up = ramp(rows * 2 * width);
                let mut out = vec![f32::NAN; rows * width];
                swiglu(&team, &gate_up, width, &mut out);
                let want: Vec<f64> = gate_up
                    .chunks(2 * width)
                    .flat_map(|row| {
                        let (gate, up) = row.split_at(width);
                        gate.iter().zip(up).map(|(g, u)| {
                            let (g, u) = (f64::from(*g), f64::from(*u));
                            g / (1.0 + (-g).exp()) * u
                        })
                    })
                    .collect();
                close(&out, want.iter().copied());
                let delta = ramp(out.len());
                add_assign(&team, &mut out, &delta);
                close(&out, want.iter().zip(&delta).map(|(a, b)| a + f64::from(*b)));
            }
        }
    }

    #[test]
    fn rotations_turn_heads_and_leave_the_rest() {
        for team in teams() {
            for (tokens, heads, half) in [(1, 1, 1), (3, 2, 20), (60, 4, 32)] {
                let width = heads * 2 * half + 7;
                let frequencies: Vec<f32> = (0..half).map(|i| 1.0 / 100f32.powf(i as f32 / half as f32)).collect();
                let before = ramp(tokens * width);
                let mut x = before.clone();
                rope(&team, &mut x, width, heads, &Angles::new(5..5 + tokens, &frequencies));
                let want = (0..tokens * width).map(|index| {
                    let (token, column) = (index / width, index % width);
                    let at = |column: usize| f64::from(before[token * width + column]);
                    if column >= heads * 2 * half {
                        return at(column);
                    }
                    let place = column % (2 * half);
                    let angle = f64::from((5 + token) as f32 * frequencies[place % half]);
                    match place < half {
                        true => at(column) * angle.cos() - at(column + half) * angle.sin(),
                        false => at(column) * angle.cos() + at(column - half) * angle.sin(),
                    }
                });
                close(&x, want);
            }
        }
    }
}
