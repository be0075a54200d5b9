//! Steps that go wrong: numbers that are none, and losses that leap.

use serde::{Deserialize, Serialize};

/// Losses that a new one is compared with.
const WINDOW: usize = 32;

/// With fewer nothing is said.
const WINDOW_MIN: usize = 16;

/// Scales a median absolute deviation to the standard deviation of a normal distribution.
const NORMAL: f32 = 1.4826;

/// Part of the median that counts as deviation at least: a run whose loss hardly moves is not alarmed by a little.
const DEVIATION_MIN: f32 = 0.05;

/// Steps in a row that may be taken back.
pub const ROLLBACKS_MAX: usize = 5;

/// What a guard remembers; part of a checkpoint, so that a resumed run judges as an uninterrupted one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// Losses of the newest steps that were kept, oldest first.
    recent: Vec<f32>,
    /// Steps taken back since the last one that was kept.
    rollbacks: usize,
}

impl Memory {
    /// How far a loss is above the median of the newest ones, in standard deviations (by the median absolute deviation,
    /// which one outlier does not change); `None` while there are too few.
    pub fn deviations(&self, loss: f64) -> Option<f64> {
        if self.recent.len() < WINDOW_MIN {
            return None;
        }
        let middle = median(self.recent.clone());
        let spread = median(self.recent.iter().map(|recent| (recent - middle).abs()).collect()) * NORMAL;
        let spread = spread.max(middle.abs() * DEVIATION_MIN).max(f32::MIN_POSITIVE);
        Some((loss - f64::from(middle)) / f64::from(spread))
    }

    /// A step was kept.
    pub fn kept(&mut self, loss: f64) {
        self.rollbacks = 0;
        if self.recent.len() == WINDOW {
            self.recent.remove(0);
        }
        self.recent.push(loss as f32);
    }

    /// A step was taken back. Whether one more may be.
    pub fn taken_back(&mut self) -> bool {
        self.rollbacks += 1;
        self.rollbacks < ROLLBACKS_MAX
    }
}

fn median(mut values: Vec<f32>) -> f32 {
    values.sort_by(f32::total_cmp);
    values[values.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leap_is_seen_and_noise_is_not() {
        let mut memory = Memory::default();
        for step in 0..40 {
            let loss = 2.0 - 0.01 * f64::from(step) + if step % 2 == 0 { 0.1 } else { -0.1 };
            let deviations = memory.deviations(loss);
            assert_eq!(deviations.is_none(), step < 16);
            assert!(deviations.is_none_or(|deviations| deviations < 4.0), "{deviations:?}");
            memory.kept(loss);
        }
        assert!(memory.deviations(4.0).is_some_and(|deviations| deviations > 6.0));
        assert!(memory.deviations(0.1).is_some_and(|deviations| deviations < 0.0), "falling is no alarm");
        // One leap that was kept does not hide the next.
        memory.kept(50.0);
        assert!(memory.deviations(4.0).is_some_and(|deviations| deviations > 6.0));
    }

    #[test]
    fn a_loss_that_does_not_move_alarms_only_for_much() {
        let mut memory = Memory::default();
        (0..32).for_each(|_| memory.kept(1.0));
        assert!(memory.deviations(1.2).is_some_and(|deviations| deviations < 6.0));
        assert!(memory.deviations(1.4).is_some_and(|deviations| deviations > 6.0));
    }

    #[test]
    fn so_many_steps_in_a_row_may_be_taken_back() {
        let mut memory = Memory::default();
        assert_eq!((0..5).map(|_| memory.taken_back()).collect::<Vec<_>>(), [true, true, true, true, false]);
        memory.kept(1.0);
        assert!(memory.taken_back());
    }

    #[test]
    fn memory_survives_a_checkpoint_bit_for_bit() {
        let mut memory = Memory::default();
        (1..=32).for_each(|step| memory.kept(1.0 / f64::from(step * 7)));
        let text = serde_json::to_string(&memory).expect("JSON");
        assert_eq!(serde_json::from_str::<Memory>(&text).expect("the same"), memory);
    }
}
