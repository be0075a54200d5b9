//! The losses of a step, source by source.

/// Losses added up.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LossSum {
    /// Their sum: negative log-likelihoods in nats, or losses of pairs.
    pub sum: f64,
    /// How many: supervised tokens, or pairs.
    pub units: usize,
}

impl LossSum {
    /// Takes in others.
    pub fn add(&mut self, other: LossSum) {
        self.sum += other.sum;
        self.units += other.units;
    }

    /// Their mean; `None` where there are none.
    pub fn mean(&self) -> Option<f64> {
        (self.units > 0).then(|| self.sum / self.units as f64)
    }
}

/// Sums of losses one after the other; `counts` says how many are in each.
///
/// # Panics
/// When there are fewer losses than that.
pub fn sums(losses: &[f64], counts: &[usize]) -> Vec<f64> {
    let mut rest = losses;
    let mut next = |count: &usize| {
        let (these, behind) = rest.split_at(*count);
        rest = behind;
        these.iter().sum()
    };
    counts.iter().map(&mut next).collect()
}

/// The sources that have losses, by index, and the mean of each.
pub fn means(by_source: &[LossSum]) -> Vec<(usize, f64)> {
    by_source.iter().enumerate().filter_map(|(source, loss)| Some((source, loss.mean()?))).collect()
}

/// The mean over all sources; not a number where there is nothing.
pub fn mean(by_source: &[LossSum]) -> f64 {
    let mut all = LossSum::default();
    by_source.iter().for_each(|loss| all.add(*loss));
    all.mean().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_of_what_there_is() {
        let by_source = [LossSum { sum: 3.0, units: 2 }, LossSum::default(), LossSum { sum: 5.0, units: 2 }];
        assert_eq!(means(&by_source), [(0, 1.5), (2, 2.5)]);
        assert_eq!(mean(&by_source), 2.0);
        assert!(mean(&[LossSum::default()]).is_nan() && means(&[]).is_empty());
    }

    #[test]
    fn losses_find_their_conversations() {
        assert_eq!(sums(&[1.0, 2.0, 4.0, 8.0], &[2, 0, 1]), [3.0, 0.0, 4.0]);
    }
}
