//! How many prompt tokens a pass may read, so that it ends in time.
//!
//! A request that generates waits for the whole pass, and so does whoever cancels. What a pass takes depends on the model
//! and the machine by three orders of magnitude, so it is measured.

use std::time::Duration;

/// Prompt tokens of the first passes, before anything is known.
const FIRST: usize = 64;

/// However slow a pass is, it reads so many: far fewer would read the weights for little.
const LEAST: usize = 16;

/// Weight of the newest pass in the moving average.
const NEWEST: f64 = 0.4;

#[derive(Debug)]
pub(crate) struct Pace {
    target: Option<Duration>,
    /// Moving seconds for each prompt token, of passes that read some; what else they did is part of it.
    seconds_each: Option<f64>,
}

impl Pace {
    /// For passes of about this length; `None` for any.
    pub fn new(target: Option<Duration>) -> Pace {
        Pace { target, seconds_each: None }
    }

    /// How many prompt tokens the next pass may read; never more than `most`.
    pub fn budget(&self, most: usize) -> usize {
        match (self.target, self.seconds_each) {
            (None, _) => most,
            (Some(_), None) => most.min(FIRST),
            (Some(target), Some(each)) => ((target.as_secs_f64() / each) as usize).max(LEAST).min(most),
        }
    }

    /// A pass read so many prompt tokens in this time.
    pub fn learn(&mut self, tokens: usize, seconds: f64) {
        // A few tokens beside many that are generated say nothing about what more would cost.
        if tokens < LEAST {
            return;
        }
        // Never zero, whatever the clock says.
        let each = (seconds / tokens as f64).max(1e-9);
        self.seconds_each = Some(self.seconds_each.map_or(each, |old| old + NEWEST * (each - old)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Passes of a model that takes `seconds` for itself and `each` for a token, reading as many as it may.
    fn settled(pace: &mut Pace, seconds: f64, each: f64) -> usize {
        for _ in 0..40 {
            let tokens = pace.budget(2048);
            pace.learn(tokens, seconds + each * tokens as f64);
        }
        pace.budget(2048)
    }

    #[test]
    fn a_pass_takes_about_as_long_as_it_should() {
        let target = Some(Duration::from_millis(500));
        for (seconds, each, expected) in [
            // A fast machine reads as much as it may, a slow one the least; between them what the time holds.
            (0.001, 1e-5, 2048..2049),
            (0.3, 0.1, 16..17),
            (0.0, 0.005, 95..101),
            (0.2, 0.002, 140..151),
        ] {
            let mut pace = Pace::new(target);
            assert_eq!(pace.budget(2048), FIRST);
            let budget = settled(&mut pace, seconds, each);
            assert!(expected.contains(&budget), "{seconds} {each}: {budget}");
            // And it follows when the machine has more to do, or less.
            assert!(settled(&mut pace, seconds, 4.0 * each) <= budget);
            assert_eq!(settled(&mut pace, 0.001, 1e-5), 2048);
        }
    }

    #[test]
    fn without_a_target_every_pass_is_full_and_a_small_limit_stays_one() {
        let mut pace = Pace::new(None);
        pace.learn(100, 100.0);
        assert_eq!(pace.budget(256), 256);
        let mut pace = Pace::new(Some(Duration::from_millis(1)));
        assert_eq!(pace.budget(8), 8);
        pace.learn(16, 100.0);
        assert_eq!((pace.budget(8), pace.budget(100)), (8, LEAST));
        // Few tokens teach nothing.
        pace.learn(15, 1e9);
        assert_eq!(pace.budget(100), LEAST);
    }
}
