//! f32 to rows.

use half::{bf16, f16};

use super::Format;
use super::blocks::{GROUP, Lattice};
use super::fit::{self, Grid};

/// Groups of a block of the K formats.
const GROUPS: usize = 8;

pub(super) fn row(format: Format, values: &[f32], out: &mut Vec<u8>) {
    match format {
        Format::F32 => out.extend(values.iter().flat_map(|value| value.to_le_bytes())),
        Format::F16 => out.extend(values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes())),
        Format::Bf16 => out.extend(values.iter().flat_map(|value| bf16::from_f32(*value).to_le_bytes())),
        _ => {
            for values in values.chunks_exact(format.block_len()) {
                let start = out.len();
                out.resize(start + format.block_bytes(), 0);
                block(format, values, &mut out[start..]);
            }
        }
    }
}

fn block(format: Format, values: &[f32], block: &mut [u8]) {
    let (lattice, bits) = format.lattice().expect("plain numbers have no blocks");
    let is_finite = values.iter().all(|value| value.is_finite());
    let groups = values.as_chunks::<GROUP>().0;
    match lattice {
        // Zero levels and a scale that is not a number.
        Lattice::GroupedSymmetric if !is_finite => put_half(block, 208, f32::NAN),
        _ if !is_finite => put_half(block, 0, f32::NAN),
        Lattice::Symmetric => {
            let grid = match format {
                Format::Q8_0 => eight_bits(&groups[0]),
                _ => fit::symmetric(&groups[0], f32::from(1u8 << (bits - 1)), to_half),
            };
            put_half(block, 0, grid.scale);
            put_levels(format, block, 0, &levels(&groups[0], &grid));
        }
        Lattice::Affine => {
            let grid = fit::affine(&groups[0], top(bits), false, to_half);
            put_half(block, 0, grid.scale);
            put_half(block, 2, grid.minimum);
            put_levels(format, block, 0, &levels(&groups[0], &grid));
        }
        Lattice::GroupedAffine => grouped_affine(format, bits, groups, block),
        Lattice::GroupedSymmetric => grouped_symmetric(groups, block),
    }
}

/// 255 levels, so that the largest number of either sign is one: finer searches gain nothing here.
fn eight_bits(values: &[f32; GROUP]) -> Grid {
    let peak = values.iter().fold(0.0, |peak: f32, value| peak.max(value.abs()));
    Grid { scale: to_half(peak / 127.0), minimum: 0.0, levels: (-127.0, 127.0) }
}

/// Scales and minima of 8 groups: integers of 6 bits and what one of them stands for.
struct Joined {
    scale_unit: f32,
    minimum_unit: f32,
    integers: [(i32, i32); GROUPS],
    error: f32,
}

impl Joined {
    /// The best integers near those that `grids` would need.
    fn near(grids: &[Grid; GROUPS], (scale_unit, minimum_unit): (f32, f32), groups: &[[f32; GROUP]]) -> Self {
        let mut joined = Self { scale_unit, minimum_unit, integers: [(0, 0); GROUPS], error: 0.0 };
        for (group, values) in groups.iter().enumerate() {
            let scale = units(grids[group].scale, scale_unit, (0, 63));
            let minimum = units(-grids[group].minimum, minimum_unit, (0, 63));
            let levels = grids[group].levels;
            // Rounding both to 6 bits moved the grid; a neighbour may now be nearer.
            let neighbours = (-2..=2).flat_map(|i| (-2..=2).map(move |j| (scale + i, minimum + j)));
            let allowed = neighbours.filter(|(scale, minimum)| (0..64).contains(scale) && (0..64).contains(minimum));
            let error = |integers: &(i32, i32)| joined.grid_of(*integers, levels).error(values);
            let best =
                allowed.map(|integers| (error(&integers), integers)).min_by(|left, right| left.0.total_cmp(&right.0));
            let (error, integers) = best.expect("the middle is allowed");
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

fn grouped_affine(format: Format, bits: usize, groups: &[[f32; GROUP]], block: &mut [u8]) {
    /// Times that the units are fitted to integers and levels, and these to the units.
    const ROUNDS: usize = 3;
    let grids: [Grid; GROUPS] = std::array::from_fn(|group| fit::affine(&groups[group], top(bits), true, |x| x));
    let peak = |of: fn(&Grid) -> f32| grids.iter().map(of).fold(0.0, f32::max);
    let units = (to_half(peak(|grid| grid.scale) / 63.0), to_half(peak(|grid| -grid.minimum) / 63.0));
    let levels_of_all = (0.0, top(bits));
    let mut best = Joined::near(&grids, units, groups);
    for _ in 0..ROUNDS {
        match best.best_units(levels_of_all, groups).map(|units| Joined::near(&grids, units, groups)) {
            Some(next) if next.error < best.error => best = next,
            _ => break,
        }
    }
    put_half(block, 0, best.scale_unit);
    put_half(block, 2, best.minimum_unit);
    for (group, values) in groups.iter().enumerate() {
        let (scale, minimum) = best.integers[group];
        put_k_scale(block, group, scale as u8, minimum as u8);
        put_levels(format, block, group, &levels(values, &best.grid_of((scale, minimum), levels_of_all)));
    }
}

fn grouped_symmetric(groups: &[[f32; GROUP]], block: &mut [u8]) {
    const ZERO: f32 = 32.0;
    let halves: Vec<[f32; 16]> = groups.iter().flat_map(|group| group.as_chunks::<16>().0).copied().collect();
    let scales: Vec<f32> = halves.iter().map(|values| fit::symmetric(values, ZERO, |x| x).scale).collect();
    let extreme = scales.iter().fold(0.0, |extreme: f32, &scale| match scale.abs() > extreme.abs() {
        true => scale,
        false => extreme,
    });
    let unit = to_half(extreme / -128.0);
    put_half(block, 208, unit);
    let mut levels = [[0; GROUP]; GROUPS];
    for (index, values) in halves.iter().enumerate() {
        let nearest = units(scales[index], unit, (-128, 127));
        let at = |scale: i32| Grid { scale: unit * scale as f32, minimum: 0.0, levels: (-ZERO, ZERO - 1.0) };
        let candidates = [nearest, (nearest - 1).max(-128), (nearest + 1).min(127)];
        let errors = candidates.map(|scale| at(scale).error(values));
        let best = (1..3).fold(0, |best, index| if errors[index] < errors[best] { index } else { best });
        block[192 + index] = candidates[best] as i8 as u8;
        let grid = at(candidates[best]);
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

fn top(bits: usize) -> f32 {
    f32::from(u8::MAX >> (8 - bits))
}

/// Levels from zero, as they are stored.
fn levels(values: &[f32; GROUP], grid: &Grid) -> [u8; GROUP] {
    let zero = match grid.levels.0 {
        -127.0 => 128.0, // 8 bits leave their least level out
        least => -least,
    };
    values.map(|value| (grid.nearest(value) + zero) as u8)
}

/// The nearest f16, of which the largest stands for all that is larger.
fn to_half(value: f32) -> f32 {
    f16::from_f32(value.clamp(-65504.0, 65504.0)).to_f32()
}

fn put_half(block: &mut [u8], at: usize, value: f32) {
    block[at..at + 2].copy_from_slice(&f16::from_f32(value).to_le_bytes());
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

/// The inverse of [`super::levels`], into a block whose level bits are zero.
fn put_levels(format: Format, block: &mut [u8], group: usize, levels: &[u8; GROUP]) {
    for (column, &level) in levels.iter().enumerate() {
        let nibble = level & 15;
        let of_32 = |start: usize| (start + column % 16, column / 16 * 4);
        let of_64 = |start: usize| (start + group / 2 * 32 + column, group % 2 * 4);
        let (at, shift) = match format {
            Format::Q8_0 => {
                block[2 + column] = level ^ 0x80;
                continue;
            }
            Format::Q4_0 => of_32(2),
            Format::Q4_1 => of_32(4),
            Format::Q5_0 => of_32(6),
            Format::Q5_1 => of_32(8),
            Format::Q4K => of_64(16),
            Format::Q5K => of_64(48),
            Format::Q6K => (group / 4 * 64 + group % 2 * 32 + column, group % 4 / 2 * 4),
            Format::F32 | Format::F16 | Format::Bf16 => unreachable!("{format} has no levels"),
        };
        block[at] |= nibble << shift;
        let high = level >> 4;
        match format {
            Format::Q5_0 => block[2 + column / 8] |= high << (column % 8),
            Format::Q5_1 => block[4 + column / 8] |= high << (column % 8),
            Format::Q5K => block[16 + column] |= high << group,
            Format::Q6K => block[128 + group / 4 * 32 + column] |= high << (group % 4 * 2),
            _ => {}
        }
    }
}
