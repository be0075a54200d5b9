//! Which adapter is kept.

use serde::{Deserialize, Serialize};

use super::figures::Figures;

/// What became of a round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// Whether its adapter is the best from now on.
    pub is_kept: bool,
    /// Why, in a sentence.
    pub why: String,
}

/// A round's adapter is kept if it solves more of the tasks that decide than the best one before it, and the chat loss
/// is not more than `ratio_max` times that at the start. The interval does not decide: with a few hundred tasks it is
/// wider than what a round gains, and keeping the worse of two that are alike costs nothing but the round.
pub fn verdict(start: &Figures, best: &Figures, now: &Figures, ratio_max: f64) -> Verdict {
    let ratio = now.chat_loss / start.chat_loss;
    let (had, has) = (best.metric.solved, now.metric.solved);
    if ratio.is_nan() || ratio > ratio_max {
        let why = format!("the chat loss is {ratio:.3} times that of the start, at most {ratio_max} is allowed");
        return Verdict { is_kept: false, why };
    }
    let why = format!("{has} of {} tasks are solved, {had} by {}", now.metric.tasks, best.name);
    Verdict { is_kept: has > had, why }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flywheel::figures::figures;

    fn of(solved: usize, chat_loss: f64) -> Figures {
        let mut figures = figures("x", (None, "a".into()), None, &[], None);
        (figures.metric.solved, figures.metric.tasks, figures.chat_loss) = (solved, 10, chat_loss);
        figures
    }

    #[test]
    fn more_tasks_within_the_bound_of_the_chat_are_kept() {
        let is_kept = |solved, loss| verdict(&of(3, 2.0), &of(5, 1.0), &of(solved, loss), 1.03).is_kept;
        assert!(is_kept(6, 2.05) && is_kept(6, 1.0));
        assert!(!is_kept(5, 1.0) && !is_kept(4, 1.0));
        // The bound is that of the start, not of the best.
        assert!(!is_kept(10, 2.07) && !is_kept(10, f64::NAN));
    }
}
