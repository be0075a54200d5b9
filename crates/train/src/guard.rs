//! Steps that go wrong: numbers that are none, and losses that leap.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::losses::LossSum;

/// Steps that a new one is compared with.
const WINDOW: usize = 32;

/// With fewer nothing is said.
const WINDOW_MIN: usize = 16;

/// Steps with some of a source that it is known by at least: few, since a rare one takes long to have them, and its
/// loss falls meanwhile.
const SOURCE_MIN: usize = 8;

/// Scales a median absolute deviation to the standard deviation of a normal distribution.
const NORMAL: f64 = 1.4826;

/// Part of the expected loss that counts as deviation at least: where the loss hardly moves a little is no alarm.
const DEVIATION_MIN: f64 = 0.05;

/// Steps in a row that may be taken back.
pub const ROLLBACKS_MAX: usize = 5;

/// What a guard remembers; part of a checkpoint, so that a resumed run judges as an uninterrupted one.
///
/// Sources differ, and so do steps in how much they have of each: one with more of a hard source has a higher loss, and
/// nothing is wrong with it. So a step is judged by its excess over what its sources made expect, and that is compared
/// with the excess of the steps before.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// Steps that were kept.
    steps: usize,
    /// Of each source the steps that were kept and had any of it, with its mean loss, oldest first: the newest
    /// [`WINDOW`] steps, and of those before as many as make [`SOURCE_MIN`].
    sources: Vec<VecDeque<(usize, f32)>>,
    /// Excess of the newest steps that were kept, in nats per supervised token, or in losses of pairs; oldest first.
    excess: VecDeque<f32>,
    /// Steps taken back since the last one that was kept.
    rollbacks: usize,
}

/// A step beside what its sources made expect.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Compared {
    /// The loss that its sources made expect, per supervised token or pair.
    pub expected: f64,
    /// How far its excess is above that of the steps before, in standard deviations (by the median absolute deviation,
    /// which one outlier does not change).
    pub deviations: f64,
}

impl Memory {
    /// A step beside those before. `None` while there are too few of them, or where most of the step is of sources that
    /// were never seen.
    pub fn compared(&self, by_source: &[LossSum]) -> Option<Compared> {
        let (expected, excess) = self.excess(by_source)?;
        if self.excess.len() < WINDOW_MIN {
            return None;
        }
        let middle = median(self.excess.iter().map(|excess| f64::from(*excess)));
        let spread = median(self.excess.iter().map(|excess| (f64::from(*excess) - middle).abs())) * NORMAL;
        let deviation = spread.max(expected.abs() * DEVIATION_MIN).max(f64::MIN_POSITIVE);
        Some(Compared { expected, deviations: (excess - middle) / deviation })
    }

    /// The loss that is usual of a source; `None` of one that was never seen.
    pub fn usual(&self, source: usize) -> Option<f64> {
        let recent = self.sources.get(source).filter(|recent| !recent.is_empty())?;
        Some(median(recent.iter().map(|(_, loss)| f64::from(*loss))))
    }

    /// A step was kept.
    pub fn kept(&mut self, by_source: &[LossSum]) {
        self.rollbacks = 0;
        self.steps += 1;
        if let Some((_, excess)) = self.excess(by_source) {
            self.excess.push_back(excess as f32);
            self.excess.drain(..self.excess.len().saturating_sub(WINDOW));
        }
        self.sources.resize(self.sources.len().max(by_source.len()), VecDeque::new());
        for (recent, loss) in self.sources.iter_mut().zip(by_source) {
            recent.extend(loss.mean().map(|mean| (self.steps, mean as f32)));
            let is_old = |(step, _): &(usize, f32)| step + WINDOW <= self.steps;
            while recent.len() > SOURCE_MIN && recent.front().is_some_and(is_old) {
                recent.pop_front();
            }
        }
    }

    /// A step was taken back. Whether one more may be.
    pub fn taken_back(&mut self) -> bool {
        self.rollbacks += 1;
        self.rollbacks < ROLLBACKS_MAX
    }

    /// Steps taken back since the last one that was kept.
    pub fn rollbacks(&self) -> usize {
        self.rollbacks
    }

    /// The loss that the sources that are known made expect, and by how much theirs is above it; `None` where less than
    /// half of the step is of them.
    fn excess(&self, by_source: &[LossSum]) -> Option<(f64, f64)> {
        let (mut known, mut expected) = (LossSum::default(), 0.0);
        for (source, loss) in by_source.iter().enumerate() {
            if let Some(usual) = self.usual(source) {
                known.add(*loss);
                expected += loss.units as f64 * usual;
            }
        }
        let units: usize = by_source.iter().map(|loss| loss.units).sum();
        let (loss, expected) = (known.mean()?, expected / known.units as f64);
        (2 * known.units >= units).then_some((expected, loss - expected))
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A step with a hundred losses of this mean.
    fn step(mean: f64) -> [LossSum; 1] {
        [of(mean, 100)]
    }

    fn of(mean: f64, units: usize) -> LossSum {
        LossSum { sum: mean * units as f64, units }
    }

    impl Memory {
        fn deviations(&self, by_source: &[LossSum]) -> Option<f64> {
            self.compared(by_source).map(|compared| compared.deviations)
        }
    }

    #[test]
    fn a_leap_is_seen_and_noise_is_not() {
        let mut memory = Memory::default();
        for number in 0..40 {
            let loss = 2.0 - 0.01 * f64::from(number) + if number % 2 == 0 { 0.1 } else { -0.1 };
            let deviations = memory.deviations(&step(loss));
            // The first step has nothing before it.
            assert_eq!(deviations.is_none(), number < 17);
            assert!(deviations.is_none_or(|deviations| deviations < 4.0), "{deviations:?}");
            memory.kept(&step(loss));
        }
        assert!(memory.deviations(&step(4.0)).is_some_and(|deviations| deviations > 6.0));
        assert!(memory.deviations(&step(0.1)).is_some_and(|deviations| deviations < 0.0), "falling is no alarm");
        // One leap that was kept does not hide the next.
        memory.kept(&step(50.0));
        assert!(memory.deviations(&step(4.0)).is_some_and(|deviations| deviations > 6.0));
    }

    #[test]
    fn a_loss_that_does_not_move_alarms_only_for_much() {
        let mut memory = Memory::default();
        (0..32).for_each(|_| memory.kept(&step(1.0)));
        assert!(memory.deviations(&step(1.2)).is_some_and(|deviations| deviations < 6.0));
        assert!(memory.deviations(&step(1.4)).is_some_and(|deviations| deviations > 6.0));
    }

    #[test]
    fn a_loss_that_climbs_step_by_step_alarms_before_it_is_usual() {
        let mut memory = Memory::default();
        (0..40).for_each(|_| memory.kept(&step(2.0)));
        let climbing = (1..=12).map(|number| {
            let loss = step(2.0 + 0.1 * f64::from(number));
            let deviations = memory.deviations(&loss).expect("enough is known");
            memory.kept(&loss);
            deviations
        });
        let alarms: Vec<usize> = climbing.enumerate().filter(|(_, above)| *above > 6.0).map(|(at, _)| at).collect();
        assert!(alarms.len() >= 4 && alarms[0] <= 7, "{alarms:?}");
    }

    #[test]
    fn a_step_with_more_of_a_hard_source_is_no_leap_and_a_leap_of_one_source_is() {
        let mut memory = Memory::default();
        // An easy source, with a little of a hard one in every second step.
        for number in 0..40 {
            memory.kept(&[of(0.3, 90), of(3.0, if number % 2 == 0 { 10 } else { 0 })]);
        }
        assert!(memory.deviations(&[of(0.3, 0), of(3.1, 100)]).is_some_and(|deviations| deviations < 1.0));
        assert!(memory.deviations(&[of(3.1, 100), of(3.0, 0)]).is_some_and(|deviations| deviations > 100.0));
        // It counts by how much there is of it.
        let little = memory.deviations(&[of(0.3, 99), of(6.0, 1)]).expect("both are known");
        let much = memory.deviations(&[of(0.3, 10), of(6.0, 90)]).expect("both are known");
        assert!(little < 6.0 && much > 6.0, "{little}, {much}");
    }

    #[test]
    fn a_rare_source_whose_loss_has_fallen_since_does_not_hide_a_leap_of_the_other() {
        let mut memory = Memory::default();
        let loss = |number: i32| 1.0 + 1.0 / (1.0 + 0.05 * f64::from(number));
        let rare = |number: i32| if number % 10 == 0 { 30 } else { 0 };
        (0..200).for_each(|number| memory.kept(&[of(loss(number), 70), of(2.0 * loss(number), rare(number))]));
        let usual = [of(loss(200), 70), of(2.0 * loss(200), 30)];
        assert!(memory.deviations(&usual).is_some_and(|deviations| deviations.abs() < 2.0));
        let leaping = [of(loss(200) + 1.0, 70), of(2.0 * loss(200), 30)];
        assert!(memory.deviations(&leaping).is_some_and(|deviations| deviations > 6.0));
    }

    #[test]
    fn a_source_that_was_never_seen_is_not_judged_and_does_not_judge() {
        let mut memory = Memory::default();
        (0..32).for_each(|_| memory.kept(&[of(1.0, 10), of(0.0, 0)]));
        assert_eq!(memory.deviations(&[of(0.0, 0), of(90.0, 10)]), None);
        assert_eq!(memory.deviations(&[of(9.0, 4), of(1.0, 6)]), None, "most of it is not known");
        let both = memory.deviations(&[of(1.1, 10), of(90.0, 10)]).expect("half of it is known");
        assert!((both - 2.0).abs() < 1e-4, "{both}");
        memory.kept(&[of(1.0, 10), of(3.0, 10)]);
        assert_eq!([0, 1, 2].map(|source| memory.usual(source)), [Some(1.0), Some(3.0), None]);
        assert!(memory.deviations(&[of(0.0, 0), of(90.0, 10)]).is_some_and(|deviations| deviations > 6.0));
    }

    #[test]
    fn so_many_steps_in_a_row_may_be_taken_back() {
        let mut memory = Memory::default();
        assert_eq!((0..5).map(|_| memory.taken_back()).collect::<Vec<_>>(), [true, true, true, true, false]);
        memory.kept(&step(1.0));
        assert!(memory.taken_back());
    }

    #[test]
    fn memory_survives_a_checkpoint_bit_for_bit() {
        let mut memory = Memory::default();
        (1..=32).for_each(|number| memory.kept(&[of(1.0 / f64::from(number * 7), 3), of(2.0, 1)]));
        let text = serde_json::to_string(&memory).expect("JSON");
        assert_eq!(serde_json::from_str::<Memory>(&text).expect("the same"), memory);
    }
}
