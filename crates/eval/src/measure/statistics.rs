//! How sure a rate is, how sure a difference is, and what several tries come to.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The standard normal's 97.5 % quantile: intervals hold with 95 %.
const Z: f64 = 1.959_963_984_540_054;

/// Resamples of a bootstrap: its ends are then good to about a tenth of a percentage point.
const RESAMPLES: usize = 10_000;

/// Draws the resamples, whatever the seed of the run: the same results give the same interval.
const SEED: u64 = 0x0043_6f64_6541_6374;

/// The Wilson score interval of a rate with 95 % confidence, ends in `[0, 1]`; all of it where nothing was counted.
///
/// * `solved`: successes, at most `count`. A fraction where several tries of a task were averaged: the interval is then
///   wider than it need be, because a mean over tries varies less than one try.
/// * `count`: independent trials, here tasks.
///
/// Source: Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
pub fn wilson(solved: f64, count: usize) -> (f64, f64) {
    if count == 0 {
        return (0.0, 1.0);
    }
    let (count, z2) = (count as f64, Z * Z);
    let rate = solved / count;
    let middle = rate + z2 / (2.0 * count);
    let half = Z * (rate * (1.0 - rate) / count + z2 / (4.0 * count * count)).max(0.0).sqrt();
    let scale = 1.0 + z2 / count;
    // Rounding must not keep an end from 0 or 1 where the formula has it there.
    let low = if rate <= 0.0 { 0.0 } else { (middle - half) / scale };
    let high = if rate >= 1.0 { 1.0 } else { (middle + half) / scale };
    (low.clamp(0.0, 1.0), high.clamp(0.0, 1.0))
}

/// The two-sided p-value of McNemar's exact test: how likely a split at least as uneven is, if both are equally good.
///
/// * `only_first`, `only_second`: tasks that only one of the two solved. Tasks that both or neither solved say nothing.
///
/// It is the binomial test with probability 1/2. Source: McNemar, Psychometrika 12 (1947), in its exact form.
pub fn mcnemar(only_first: usize, only_second: usize) -> f64 {
    let (count, least) = (only_first + only_second, only_first.min(only_second));
    // ln C(count, i) grows from term to term; powers of two of large counts have no f64.
    let mut ln_term = -(count as f64) * std::f64::consts::LN_2;
    let mut tail = ln_term.exp();
    for index in 0..least {
        ln_term += ((count - index) as f64).ln() - ((index + 1) as f64).ln();
        tail += ln_term.exp();
    }
    (2.0 * tail).min(1.0)
}

/// The percentile bootstrap interval, with 95 % confidence, of the mean of `differences`, one for each task: tasks are
/// drawn with replacement, both of a pair together. Empty differences give zeros.
///
/// Source: Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7 (1979).
pub fn bootstrap(differences: &[f64]) -> (f64, f64) {
    let count = differences.len();
    if count == 0 {
        return (0.0, 0.0);
    }
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            // The high part of the product is below `count`, without the bias of a remainder that would matter.
            let mut draw = || differences[((u64::from(random.next_u32()) * count as u64) >> 32) as usize];
            (0..count).map(|_| draw()).sum::<f64>() / count as f64
        })
        .collect();
    means.sort_by(f64::total_cmp);
    let at = |part: f64| means[(part * (RESAMPLES - 1) as f64).round() as usize];
    (at(0.025), at(0.975))
}

/// How likely at least one of `k` tries is right, estimated without bias from `count` tries of which `right` were:
/// `1 - C(count - right, k) / C(count, k)`. `None` when there were fewer than `k` tries.
///
/// Source: Chen et al., "Evaluating large language models trained on code", arXiv 2107.03374, equation 1.
pub fn pass_at(count: usize, right: usize, k: usize) -> Option<f64> {
    if k == 0 || k > count {
        return None;
    }
    if count - right < k {
        return Some(1.0);
    }
    // The quotient of the two binomials, factor by factor.
    let wrong: f64 = (count - right + 1..=count).map(|index| 1.0 - k as f64 / index as f64).product();
    Some(1.0 - wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_near(is: (f64, f64), wanted: (f64, f64), tolerance: f64) {
        let far = (is.0 - wanted.0).abs().max((is.1 - wanted.1).abs());
        assert!(far <= tolerance, "{is:?}, not {wanted:?}");
    }

    /// Both ends solve `|rate - p| = z sqrt(p (1 - p) / count)`, which is how the interval is defined.
    fn wilson_by_search(solved: f64, count: usize) -> (f64, f64) {
        let rate = solved / count as f64;
        let excess = |p: f64| (rate - p).abs() - Z * (p * (1.0 - p) / count as f64).sqrt();
        let end = |mut outside: f64, mut inside: f64| {
            for _ in 0..200 {
                let middle = (outside + inside) / 2.0;
                if excess(middle) > 0.0 { outside = middle } else { inside = middle }
            }
            inside
        };
        (if rate > 0.0 { end(0.0, rate) } else { 0.0 }, if rate < 1.0 { end(1.0, rate) } else { 1.0 })
    }

    #[test]
    fn wilson_is_the_interval_of_its_definition() {
        // Of half of ten, and of none of ten, as tables have them.
        assert_near(wilson(5.0, 10), (0.236_593_090_5, 0.763_406_909_5), 1e-9);
        assert_near(wilson(0.0, 10), (0.0, 0.277_532_799_9), 1e-9);
        for count in [1, 2, 7, 60, 1000, 100_000] {
            for solved in [0.0, 0.5, 1.0, count as f64 / 3.0, count as f64 - 0.25, count as f64] {
                assert_near(wilson(solved, count), wilson_by_search(solved, count), 1e-9);
            }
        }
        assert_eq!(wilson(0.0, 0), (0.0, 1.0));
    }

    /// Pascal's triangle in whole numbers.
    fn choose(count: usize, of: usize) -> u128 {
        let mut row = vec![1_u128];
        for _ in 0..count {
            let inner = row.windows(2).map(|pair| pair[0] + pair[1]);
            row = std::iter::once(1).chain(inner).chain([1]).collect();
        }
        row.get(of).copied().unwrap_or(0)
    }

    #[test]
    fn mcnemar_is_the_binomial_test() {
        for count in 0..60 {
            for first in 0..=count {
                let tail: u128 = (0..=first.min(count - first)).map(|index| choose(count, index)).sum();
                let wanted = (2.0 * tail as f64 / 2_f64.powi(count as i32)).min(1.0);
                let is = mcnemar(first, count - first);
                assert!((is - wanted).abs() < 1e-12, "{first} of {count}: {is}, not {wanted}");
            }
        }
        // The sum in whole numbers, by Python's `math.comb`; no power of two underflows on the way.
        assert!((mcnemar(430, 570) - 1.070_973_766_5e-5).abs() < 1e-14, "{}", mcnemar(430, 570));
        assert!(mcnemar(10_000, 10_000) == 1.0 && mcnemar(0, 5_000) == 0.0);
    }

    #[test]
    fn the_bootstrap_is_that_of_every_resample() {
        // Of three tasks there are 27 resamples, all alike.
        let differences = [0.0, 1.0, 0.0];
        let mut means = Vec::new();
        for index in 0..27 {
            means.push([index % 3, index / 3 % 3, index / 9].iter().map(|at| differences[*at]).sum::<f64>() / 3.0);
        }
        means.sort_by(f64::total_cmp);
        // A cumulative share of 8/27 is at 0, and 1/27 at 1, so both ends are these whatever is drawn.
        assert_eq!(bootstrap(&differences), (means[0], means[26]));
        // For many tasks it is that of the normal distribution.
        let many: Vec<f64> = (0..400).map(|index| f64::from(u8::from(index % 4 == 0))).collect();
        let half = Z * (0.25 * 0.75 / 400_f64).sqrt();
        assert_near(bootstrap(&many), (0.25 - half, 0.25 + half), 0.004);
        assert_eq!(bootstrap(&many), bootstrap(&many));
        assert_eq!((bootstrap(&[]), bootstrap(&[1.0; 9])), ((0.0, 0.0), (1.0, 1.0)));
    }

    #[test]
    fn pass_at_counts_all_choices_of_tries() {
        for count in 1..=10 {
            for right in 0..=count {
                for k in 1..=count {
                    // Every set of k tries, of which the first `right` are right.
                    let sets = (0_u32..1 << count).filter(|set| set.count_ones() as usize == k);
                    let (mut all, mut passing) = (0, 0);
                    for set in sets {
                        all += 1;
                        passing += u32::from(set & ((1 << right) - 1) != 0);
                    }
                    let is = pass_at(count, right, k).unwrap();
                    assert!((is - f64::from(passing) / f64::from(all)).abs() < 1e-12, "{count} {right} {k}: {is}");
                }
                assert_eq!((pass_at(count, right, 0), pass_at(count, right, count + 1)), (None, None));
            }
        }
    }
}
