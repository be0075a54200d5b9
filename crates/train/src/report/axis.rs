//! Axes: from values to places, ticks at round numbers, and what is written beside them.

use super::text::count;

/// How values become places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// In equal steps.
    Linear,
    /// In equal factors.
    Logarithmic,
}

/// One axis, from `low` to `high`.
#[derive(Debug, Clone, Copy)]
pub struct Axis {
    low: f64,
    high: f64,
    scale: Scale,
}

/// Factor between greatest and least value from which equal factors are clearer.
const LOGARITHMIC_FROM: f64 = 100.0;

impl Axis {
    /// For whole steps.
    pub fn steps(low: f64, high: f64) -> Axis {
        Axis { low, high: if high > low { high } else { low + 1.0 }, scale: Scale::Linear }
    }

    /// Around values from `low` to `high`, with a margin, from zero where that is near.
    pub fn linear(low: f64, high: f64) -> Axis {
        let spread = high - low;
        let margin = if spread > 0.0 { 0.05 * spread } else { (0.1 * high.abs()).max(1e-9) };
        let is_near_zero = low >= 0.0 && (low <= 0.35 * high || low < margin);
        Axis { low: if is_near_zero { 0.0 } else { low - margin }, high: high + margin, scale: Scale::Linear }
    }

    /// As [`Axis::linear`], or in equal factors where the values are that far apart.
    pub fn wide(low: f64, high: f64) -> Axis {
        match low > 0.0 && high / low >= LOGARITHMIC_FROM {
            true => Axis { low: low / 1.2, high: high * 1.2, scale: Scale::Logarithmic },
            false => Axis::linear(low, high),
        }
    }

    /// From 0 to 1.
    pub fn part() -> Axis {
        Axis { low: 0.0, high: 1.0, scale: Scale::Linear }
    }

    /// Whether it has equal factors.
    pub fn is_logarithmic(&self) -> bool {
        self.scale == Scale::Logarithmic
    }

    /// The ends.
    pub fn ends(&self) -> (f64, f64) {
        (self.low, self.high)
    }

    /// Where a value lies: 0 at the low end, 1 at the high one.
    pub fn place(&self, value: f64) -> f64 {
        let part = match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Logarithmic => (value.max(self.low) / self.low).ln() / (self.high / self.low).ln(),
        };
        part.clamp(0.0, 1.0)
    }

    /// Round numbers on it with their labels, about `wanted` of them.
    pub fn ticks(&self, wanted: usize) -> Vec<(f64, String)> {
        match self.scale {
            Scale::Linear => {
                let step = round_step((self.high - self.low) / wanted.max(1) as f64);
                let (first, last) = ((self.low / step).ceil() as i64, (self.high / step).floor() as i64);
                (first..=last)
                    .take(4 * wanted)
                    .map(|index| index as f64 * step)
                    .map(|at| (at, label(at, step)))
                    .collect()
            }
            Scale::Logarithmic => {
                let (first, last) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
                let factors: &[f64] = if last - first <= 3 { &[1.0, 3.0] } else { &[1.0] };
                let all = (first..=last).flat_map(|power| factors.iter().map(move |factor| factor * 10f64.powi(power)));
                let inside = all.filter(|at| (self.low..=self.high).contains(at));
                inside.map(|at| (at, label(at, at.min(1.0)))).take(4 * wanted).collect()
            }
        }
    }

    /// Ticks at whole numbers.
    pub fn whole_ticks(&self, wanted: usize) -> Vec<(f64, String)> {
        let ticks = self.ticks(wanted).into_iter().filter(|(at, _)| at.fract() == 0.0);
        ticks.map(|(at, _)| (at, count(at.max(0.0) as u64))).collect()
    }
}

/// The nearest of 1, 2, 5 and 10 times a power of ten that is not less.
fn round_step(least: f64) -> f64 {
    let power = 10f64.powf(least.max(1e-300).log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= least * (1.0 - 1e-9)).unwrap_or(10.0);
    factor * power
}

/// A tick as text, with as many digits as tell it from the next one.
fn label(at: f64, step: f64) -> String {
    if at.abs() < 1e-3 * step {
        return "0".to_owned();
    }
    let last_digit = (step.log10() + 1e-9).floor();
    if at.abs() >= 1e6 || (at.abs() < 1e-2 && last_digit < -3.0) {
        let digits = (at.abs().log10().floor() - last_digit).clamp(0.0, 6.0) as usize;
        return format!("{at:.digits$e}");
    }
    let decimals = (-last_digit).clamp(0.0, 6.0) as usize;
    format!("{at:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: Axis) -> Vec<String> {
        axis.ticks(5).into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn ticks_are_round_numbers_inside() {
        assert_eq!(labels(Axis::linear(0.2, 2.9)), ["0", "1", "2", "3"]);
        assert_eq!(labels(Axis::linear(0.0, 1.5e-3)), ["0", "5e-4", "1.0e-3", "1.5e-3"]);
        assert_eq!(labels(Axis::part()), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(Axis::wide(0.05, 500.0)), ["0.1", "1", "10", "100"]);
        let steps = Axis::steps(0.0, 289.0).whole_ticks(6);
        assert_eq!(
            steps.iter().map(|(_, label)| label.as_str()).collect::<Vec<_>>(),
            ["0", "50", "100", "150", "200", "250"]
        );
    }

    #[test]
    fn extreme_values_have_finite_places_and_few_ticks() {
        for (low, high) in
            [(0.0, 0.0), (-1e30, 1e30), (1e-30, 1e30), (5.0, 5.0), (1e30, 1e30), (-3.0, -2.0), (1e-300, 2e-300)]
        {
            for axis in [Axis::linear(low, high), Axis::wide(low, high), Axis::steps(low, high)] {
                assert!([low, high].iter().all(|value| axis.place(*value).is_finite()), "{low} {high}");
                assert!(axis.ticks(5).len() <= 20, "{low} {high}: {:?}", axis.ticks(5));
            }
        }
    }
}
