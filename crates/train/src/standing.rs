//! How a run stands by its held-out data and tasks: what was measured, which step was best, and for how long nothing got
//! better.

use serde::{Deserialize, Serialize};

use crate::config::Metric;

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

/// How many tasks were solved, and after which step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Solved {
    /// Steps of the plan that were over.
    pub step: usize,
    /// Tasks that were solved.
    pub solved: usize,
    /// All of them; at least 1.
    pub tasks: usize,
}

impl Solved {
    /// Part of the tasks, 0 to 1.
    pub fn rate(&self) -> f64 {
        self.solved as f64 / self.tasks as f64
    }
}

/// Everything measured so far, as far as it decides what comes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standing {
    /// Before the first step: of the base model.
    pub before: Option<f64>,
    /// The newest one, that before the first step included.
    pub newest: Option<Measure>,
    /// The best one since the first step. By loss its checkpoint stays.
    pub best: Option<Measure>,
    /// Measures since then.
    pub worse_in_a_row: usize,
    /// The same of tasks. Left out of files where there are none, as before there were any.
    #[serde(default, skip_serializing_if = "Success::is_empty")]
    pub success: Success,
}

/// Tasks tried so far, as far as they decide what comes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Success {
    /// The newest ones, those before the first step included.
    pub newest: Option<Solved>,
    /// The best ones since the first step. By success its checkpoint stays.
    pub best: Option<Solved>,
    /// Evaluations since then.
    pub worse_in_a_row: usize,
}

impl Success {
    fn is_empty(&self) -> bool {
        self.newest.is_none()
    }
}

impl Standing {
    /// Takes note of a measure, which is finite. Whether it is the best since the first step.
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

    /// As [`Standing::note`], of tasks. As many as before are not better.
    pub fn note_solved(&mut self, solved: Solved) -> bool {
        let success = &mut self.success;
        success.newest = Some(solved);
        if solved.step == 0 {
            return false;
        }
        let is_best = success.best.is_none_or(|best| solved.rate() > best.rate());
        if is_best {
            success.best = Some(solved);
            success.worse_in_a_row = 0;
        } else {
            success.worse_in_a_row += 1;
        }
        is_best
    }

    /// Whether the held-out loss was measured after `step` steps already.
    pub fn is_measured(&self, step: usize) -> bool {
        self.newest.is_some_and(|newest| newest.step == step)
    }

    /// Whether the tasks were tried after `step` steps already.
    pub fn is_tried(&self, step: usize) -> bool {
        self.success.newest.is_some_and(|newest| newest.step == step)
    }

    /// The best step since the first one.
    pub fn best_step(&self, metric: Metric) -> Option<usize> {
        match metric {
            Metric::Loss => self.best.map(|best| best.step),
            Metric::Success => self.success.best.map(|best| best.step),
        }
    }

    /// Measures since the best one.
    pub fn worse_in_a_row(&self, metric: Metric) -> usize {
        match metric {
            Metric::Loss => self.worse_in_a_row,
            Metric::Success => self.success.worse_in_a_row,
        }
    }

    /// The held-out loss after `step` steps, if it is still known.
    pub fn loss_after(&self, step: usize) -> Option<f64> {
        let known = self.newest.into_iter().chain(self.best);
        known.filter(|measure| measure.step == step).map(|measure| measure.loss).next()
    }

    /// What was solved after `step` steps, if it is still known.
    pub fn solved_after(&self, step: usize) -> Option<Solved> {
        self.success.newest.into_iter().chain(self.success.best).find(|solved| solved.step == step)
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

    #[test]
    fn tasks_and_losses_are_ranked_apart() {
        let mut standing = Standing::default();
        let mut note = |step, solved| standing.note_solved(Solved { step, solved, tasks: 4 });
        assert_eq!([note(0, 3), note(2, 0), note(4, 2), note(6, 2), note(8, 1)], [false, true, true, false, false]);
        standing.note(Measure { step: 8, loss: 1.0 });
        assert_eq!((standing.best_step(Metric::Success), standing.worse_in_a_row(Metric::Success)), (Some(4), 2));
        assert_eq!((standing.best_step(Metric::Loss), standing.worse_in_a_row(Metric::Loss)), (Some(8), 0));
        assert!(standing.is_tried(8) && !standing.is_tried(6));
        assert_eq!((standing.loss_after(8), standing.loss_after(4)), (Some(1.0), None));
    }

    #[test]
    fn a_run_without_tasks_has_the_state_of_before_there_were_any() {
        let mut standing = Standing::default();
        standing.note(Measure { step: 2, loss: 0.5 });
        let text = serde_json::to_string(&standing).expect("plain values");
        assert!(!text.contains("success"), "{text}");
        assert_eq!(serde_json::from_str::<Standing>(&text).expect("the same"), standing);
    }
}
