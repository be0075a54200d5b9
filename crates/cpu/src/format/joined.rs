//! f32 to blocks of the K formats: 8 groups whose scales are integers under a common factor.

use super::Format;
use super::blocks::GROUP;
use super::encode::{levels, put_half, put_levels, to_half, top};
use super::fit::{self, Grid};

/// Groups of a block.
const GROUPS: usize = 8;

/// How far from the nearest integers better ones are looked for.
const REACH: i32 = 2;

/// Scales and minima of 8 groups: integers of 6 bits and what one of them stands for.
struct Joined {
    scale_unit: f32,
    minimum_unit: f32,
    integers: [(i32, i32); GROUPS],
    error: f32,
}

impl Joined {
    /// The best integers near those that `grids` would need.
    #[inline(always)]
    fn near(grids: &[Grid; GROUPS], (scale_unit, minimum_unit): (f32, f32), groups: &[[f32; GROUP]]) -> Self {
        let mut joined = Self { scale_unit, minimum_unit, integers: [(0, 0); GROUPS], error: 0.0 };
        for (group, values) in groups.iter().enumerate() {
            let scale = units(grids[group].scale, scale_unit, (0, 63));
            let minimum = units(-grids[group].minimum, minimum_unit, (0, 63));
            let levels = grids[group].levels;
            let mut best = (f32::INFINITY, (scale, minimum));
            // Rounding both to 6 bits moved the grid; a neighbour may now be nearer.
            for scale in (scale - REACH).max(0)..=(scale + REACH).min(63) {
                for minimum in (minimum - REACH).max(0)..=(minimum + REACH).min(63) {
                    let error = joined.grid_of((scale, minimum), levels).error(values);
                    if error < best.0 {
                        best = (error, (scale, minimum));
                    }
                }
            }
            let (error, integers) = best;
            joined.error += error;
            joined.integers[group] = integers;
        }
        joined
    }

    fn grid_of(&self, (scale, minimum): (i32, i32), levels: (f32, f32)) -> Grid {
        let minimum = -(self.minimum_unit * minimum as f32);
        Grid { scale: self.scale_unit * scale as f32, minimum, levels }
    }

    /// The units with the least squared error for these integers and the levels that they lead to.
    #[inline(always)]
    fn best_units(&self, levels: (f32, f32), groups: &[[f32; GROUP]]) -> Option<(f32, f32)> {
        let [mut steps, mut ones, mut both, mut step_values, mut one_values] = [0.0; 5];
        for (values, &integers) in groups.iter().zip(&self.integers) {
            let grid = self.grid_of(integers, levels);
            for value in values {
                let (step, one) = (integers.0 as f32 * grid.nearest(*value), -integers.1 as f32);
                steps += step * step;
                ones += one * one;
                both += step * one;
                step_values += step * value;
                one_values += one * value;
            }
        }
        let determinant: f32 = steps * ones - both * both;
        let scale = (ones * step_values - both * one_values) / determinant;
        let minimum = (steps * one_values - both * step_values) / determinant;
        (scale > 0.0 && minimum > 0.0 && scale + minimum < f32::MAX).then(|| (to_half(scale), to_half(minimum)))
    }
}

#[inline(always)]
pub(super) fn affine(format: Format, bits: usize, groups: &[[f32; GROUP]], block: &mut [u8]) {
    /// Times that the units are fitted to integers and levels, and these to the units.
    const ROUNDS: usize = 3;
    let levels_of_all = (0.0, top(bits));
    let mut grids = [Grid { scale: 0.0, minimum: 0.0, levels: levels_of_all }; GROUPS];
    for (grid, values) in grids.iter_mut().zip(groups) {
        *grid = fit::affine(values, top(bits), true, |x| x);
    }
    let peak = |of: fn(&Grid) -> f32| grids.iter().map(of).fold(0.0, f32::max);
    let units = (to_half(peak(|grid| grid.scale) / 63.0), to_half(peak(|grid| -grid.minimum) / 63.0));
    let mut best = Joined::near(&grids, units, groups);
    for _ in 0..ROUNDS {
        let Some(units) = best.best_units(levels_of_all, groups) else {
            break;
        };
        let next = Joined::near(&grids, units, groups);
        if next.error >= best.error {
            break;
        }
        best = next;
    }
    put_half(block, 0, best.scale_unit);
    put_half(block, 2, best.minimum_unit);
    for (group, values) in groups.iter().enumerate() {
        let (scale, minimum) = best.integers[group];
        put_k_scale(block, group, scale as u8, minimum as u8);
        put_levels(format, block, group, &levels(values, &best.grid_of((scale, minimum), levels_of_all)));
    }
}

#[inline(always)]
pub(super) fn symmetric(groups: &[[f32; GROUP]], block: &mut [u8]) {
    const ZERO: f32 = 32.0;
    let halves: Vec<[f32; 16]> = groups.iter().flat_map(|group| group.as_chunks::<16>().0).copied().collect();
    let mut scales = [0.0; 2 * GROUPS];
    let mut extreme = 0.0_f32;
    for (scale, values) in scales.iter_mut().zip(&halves) {
        *scale = fit::symmetric(values, ZERO, |x| x).scale;
        if scale.abs() > extreme.abs() {
            extreme = *scale;
        }
    }
    let unit = to_half(extreme / -128.0);
    put_half(block, 208, unit);
    let mut levels = [[0; GROUP]; GROUPS];
    for (index, values) in halves.iter().enumerate() {
        let nearest = units(scales[index], unit, (-128, 127));
        let at = |scale: i32| Grid { scale: unit * scale as f32, minimum: 0.0, levels: (-ZERO, ZERO - 1.0) };
        let mut best = (f32::INFINITY, nearest);
        for scale in (nearest - 1).max(-128)..=(nearest + 1).min(127) {
            let error = at(scale).error(values);
            if error < best.0 {
                best = (error, scale);
            }
        }
        block[192 + index] = best.1 as i8 as u8;
        let grid = at(best.1);
        for (level, value) in levels[index / 2][index % 2 * 16..].iter_mut().zip(values) {
            *level = (grid.nearest(*value) + ZERO) as u8;
        }
    }
    for (group, levels) in levels.iter().enumerate() {
        put_levels(Format::Q6K, block, group, levels);
    }
}

/// How many units a scale is, rounded; none when there is no unit.
fn units(scale: f32, unit: f32, (least, largest): (i32, i32)) -> i32 {
    match unit == 0.0 {
        true => 0,
        false => ((scale / unit).round() as i32).clamp(least, largest),
    }
}

fn put_k_scale(block: &mut [u8], group: usize, scale: u8, minimum: u8) {
    let packed = &mut block[4..16];
    match group < 4 {
        true => {
            packed[group] |= scale;
            packed[group + 4] |= minimum;
        }
        false => {
            packed[group + 4] |= scale & 15 | minimum << 4;
            packed[group - 4] |= scale >> 4 << 6;
            packed[group] |= minimum >> 4 << 6;
        }
    }
}
