//! How a run stands by its held-out data: what was measured, which step was best, and for how long nothing got better.

use serde::{Deserialize, Serialize};

/// Nats per token by which a loss must fall to be better: less is rounding.
const IMPROVEMENT_MIN: f64 = 1e-6;

/// A held-out loss, nats per token, and after which step it was measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measure {
    /// Steps of the plan that were over.
    pub step: usize,
    /// Of all held-out data.
    pub loss: f64,
}

/// Everything measured so far, as far as it decides what comes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standing {
    /// Before the first step: of the base model.
    pub before: Option<f64>,
    /// The newest one, that before the first step included.
    pub newest: Option<Measure>,
    /// The best one since the first step. Its checkpoint stays.
    pub best: Option<Measure>,
    /// Measures since then.
    pub worse_in_a_row: usize,
}

impl Standing {
    /// Takes note of a measure. Whether it is the best since the first step.
    pub fn note(&mut self, measure: Measure) -> bool {
        self.newest = Some(measure);
        if measure.step == 0 {
            self.before = Some(measure.loss);
            return false;
        }
        let is_best = self.best.is_none_or(|best| measure.loss < best.loss - IMPROVEMENT_MIN);
        if is_best {
            self.best = Some(measure);
            self.worse_in_a_row = 0;
        } else {
            self.worse_in_a_row += 1;
        }
        is_best
    }

    /// Whether this was measured after `step` steps already.
    pub fn is_measured(&self, step: usize) -> bool {
        self.newest.is_some_and(|newest| newest.step == step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_is_remembered_and_what_does_not_get_better_is_counted() {
        let mut standing = Standing::default();
        let mut note = |step, loss| standing.note(Measure { step, loss });
        assert_eq!([note(0, 0.5), note(2, 2.0), note(4, 1.0)], [false, true, true]);
        assert_eq!([note(6, 1.0 - 1e-9), note(8, 1.5)], [false, false], "rounding is no progress");
        assert_eq!(standing.worse_in_a_row, 2);
        assert_eq!(standing.best.map(|best| best.step), Some(4));
        assert_eq!(standing.before, Some(0.5));
        assert!(standing.is_measured(8) && !standing.is_measured(4));
        standing.note(Measure { step: 10, loss: 0.9 });
        assert_eq!(standing.worse_in_a_row, 0);
    }
}
