//! Scales with a small squared error.
//!
//! A grid of `scale * q + minimum` is tried for slightly different spacings; each choice of levels has a best scale and
//! minimum (least squares), which are kept when the error with them is smaller. Sums run in 8 lanes in a fixed order.

const LANES: usize = 8;

/// Spacings tried below and above the plain one, and the change from one to the next as a part of a level.
const STEPS: i32 = 9;
const STEP: f32 = 0.1;

/// Added and taken away again, it rounds a number below 2^22 to the nearest integer, halves to even.
const ROUNDER: f32 = 12_582_912.0;

/// The weights that levels stand for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grid {
    pub(super) scale: f32,
    pub(super) minimum: f32,
    /// The least and the largest level.
    pub(super) levels: (f32, f32),
}

impl Grid {
    /// The nearest level of one number.
    #[inline(always)]
    pub(super) fn nearest(&self, value: f32) -> f32 {
        nearest(value, self.minimum, inverse(self.scale), self.levels)
    }

    /// Squared error of `values` on this grid.
    #[inline(always)]
    pub(super) fn error<const N: usize>(&self, values: &[f32; N]) -> f32 {
        let inverse = inverse(self.scale);
        let [error] = sums(values, |value| {
            let level = nearest(value, self.minimum, inverse, self.levels);
            let error = value - (self.scale * level + self.minimum);
            [error * error]
        });
        error
    }
}

#[inline(always)]
fn nearest(value: f32, minimum: f32, inverse: f32, (least, largest): (f32, f32)) -> f32 {
    let level = (value - minimum) * inverse;
    // Written so that each line is one instruction; what is not a number becomes the least level.
    let level = if level > least { level } else { least };
    let level = if level < largest { level } else { largest };
    (level + ROUNDER) - ROUNDER
}

#[inline(always)]
fn inverse(scale: f32) -> f32 {
    match scale == 0.0 {
        true => 0.0,
        false => (1.0 / scale).clamp(-f32::MAX, f32::MAX),
    }
}

#[inline(always)]
fn sums<const N: usize, const S: usize>(values: &[f32; N], terms: impl Fn(f32) -> [f32; S]) -> [f32; S] {
    let mut lanes = [[0.0; LANES]; S];
    for values in values.as_chunks::<LANES>().0 {
        for (lane, &value) in values.iter().enumerate() {
            for (sum, term) in lanes.iter_mut().zip(terms(value)) {
                sum[lane] += term;
            }
        }
    }
    let mut sums = [0.0; S];
    for (sum, lanes) in sums.iter_mut().zip(lanes) {
        for lane in lanes {
            *sum += lane;
        }
    }
    sums
}

/// A grid around zero with the levels `-zero` to `zero - 1`; `round` is what its scale suffers in the format.
#[inline(always)]
pub(super) fn symmetric<const N: usize>(values: &[f32; N], zero: f32, round: impl Fn(f32) -> f32) -> Grid {
    let extreme = values.iter().fold(0.0, |extreme: f32, &value| match value.abs() > extreme.abs() {
        true => value,
        false => extreme,
    });
    let levels = (-zero, zero - 1.0);
    // The largest number falls on the level that has no opposite.
    let mut best = Grid { scale: round(extreme / -zero), minimum: 0.0, levels };
    let mut best_error = best.error(values);
    for step in -STEPS..=STEPS {
        let inverse = inverse(extreme / -(zero + STEP * step as f32));
        let [level_values, level_squares] = sums(values, |value| {
            let level = nearest(value, 0.0, inverse, levels);
            [level * value, level * level]
        });
        if level_squares > 0.0 {
            keep(values, Grid { scale: round(level_values / level_squares), ..best }, &mut best, &mut best_error);
        }
    }
    best
}

/// A grid with the levels 0 to `top`; `round` is what its scale and minimum suffer in the format.
///
/// * `is_below_zero`: the format has no minimum above zero.
#[inline(always)]
pub(super) fn affine<const N: usize>(
    values: &[f32; N],
    top: f32,
    is_below_zero: bool,
    round: impl Fn(f32) -> f32,
) -> Grid {
    let least = values.iter().copied().fold(f32::INFINITY, f32::min);
    let largest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let allowed = |minimum: f32| if is_below_zero { minimum.min(0.0) } else { minimum };
    let least = allowed(least);
    let levels = (0.0, top);
    let mut best = Grid { scale: round((largest - least) / top), minimum: round(least), levels };
    let mut best_error = best.error(values);
    let count = N as f32;
    for step in -STEPS..=STEPS {
        let inverse = inverse((largest - least) / (top + STEP * step as f32));
        let [ones, squares, products, total] = sums(values, |value| {
            let level = nearest(value, least, inverse, levels);
            [level, level * level, level * value, value]
        });
        let determinant = count * squares - ones * ones;
        if determinant <= 0.0 {
            continue;
        }
        let minimum = (squares * total - ones * products) / determinant;
        let scale = match minimum > allowed(minimum) {
            true => products / squares,
            false => (count * products - ones * total) / determinant,
        };
        let grid = Grid { scale: round(scale), minimum: round(allowed(minimum)), levels };
        keep(values, grid, &mut best, &mut best_error);
    }
    best
}

/// Takes `grid` when its error is smaller.
#[inline(always)]
pub(super) fn keep<const N: usize>(values: &[f32; N], grid: Grid, best: &mut Grid, best_error: &mut f32) {
    let error = grid.error(values);
    if error < *best_error {
        (*best, *best_error) = (grid, error);
    }
}
