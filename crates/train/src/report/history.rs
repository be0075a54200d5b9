//! `metrics.jsonl`: what happened, step by step. Keys that are not there, or hold something else, leave gaps.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Numbers beyond are taken for broken: nothing that a run measures comes near, and axes can still be computed.
const NUMBER_MAX: f64 = 1e30;

/// Sources that are kept.
pub const SOURCES_MAX: usize = 12;

/// Points of a curve, `(step, value)`, in order of steps.
pub type Series = Vec<(f64, f64)>;

/// What an optimizer step said.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Row {
    /// Mean negative log-likelihood of its supervised tokens, in nats, or mean loss of its pairs.
    pub loss: Option<f64>,
    /// Of pairs: by how much the rewards of the chosen conversations are above those of the rejected ones.
    pub reward_margin: Option<f64>,
    /// Of pairs: part of them whose chosen conversation has the higher reward.
    pub reward_accuracy: Option<f64>,
    /// Learning rate.
    pub learning_rate: Option<f64>,
    /// L2 norm of the gradient before clipping.
    pub gradient_norm: Option<f64>,
    /// Tokens.
    pub tokens: Option<f64>,
    /// Supervised tokens.
    pub supervised_tokens: Option<f64>,
    /// Wall time.
    pub seconds: Option<f64>,
    /// Bytes in use.
    pub memory_bytes: Option<f64>,
}

impl Row {
    /// Tokens in a second.
    pub fn tokens_per_second(&self) -> Option<f64> {
        Some(self.tokens? / self.seconds.filter(|seconds| *seconds > 0.0)?)
    }
}

/// How many tasks were solved.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Success {
    /// Part of the tasks, 0 to 1.
    pub rate: f64,
    /// Tasks that were solved, and tasks, where it is said.
    pub tasks: Option<(u64, u64)>,
}

/// Losses of sources, by name and step.
#[derive(Debug, Clone, Default)]
pub struct BySource {
    /// The first that are named.
    pub losses: BTreeMap<String, BTreeMap<u64, f64>>,
    /// Whether there are more.
    pub is_cut: bool,
}

impl BySource {
    /// Takes in what a row says of this step, in the place of what an earlier one said.
    fn add(&mut self, step: u64, losses: Option<&Value>) {
        self.losses.values_mut().for_each(|known| _ = known.remove(&step));
        let losses = losses.and_then(Value::as_object).into_iter().flatten();
        for (name, loss) in losses.filter_map(|(name, loss)| Some((name, number(Some(loss))?))) {
            if !self.losses.contains_key(name) && self.losses.len() == SOURCES_MAX {
                self.is_cut = true;
                continue;
            }
            self.losses.entry(name.clone()).or_default().insert(step, loss);
        }
    }
}

/// Everything that a run has measured, by step.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Optimizer steps.
    pub steps: BTreeMap<u64, Row>,
    /// Their losses by source.
    pub by_source: BySource,
    /// Held-out loss of all sources, nats per token.
    pub held_out: BTreeMap<u64, f64>,
    /// Held-out loss by source.
    pub held_out_by_source: BySource,
    /// Rates of success.
    pub success: BTreeMap<u64, Success>,
    /// The checkpoint that was called the best last.
    pub best_checkpoint: Option<(u64, String)>,
}

impl History {
    /// Takes in a row. Of several rows with one step the last one counts.
    pub fn add(&mut self, row: &Map<String, Value>) {
        let Some(step) = row.get("step").and_then(Value::as_u64) else { return };
        let number = |key| number(row.get(key));
        if let Some(loss) = number("loss") {
            let of_step = Row {
                loss: Some(loss),
                reward_margin: number("reward_margin"),
                reward_accuracy: number("reward_accuracy"),
                learning_rate: number("learning_rate"),
                gradient_norm: number("gradient_norm"),
                tokens: number("tokens"),
                supervised_tokens: number("supervised_tokens"),
                seconds: number("seconds"),
                memory_bytes: number("memory_bytes"),
            };
            self.steps.insert(step, of_step);
            self.by_source.add(step, row.get("loss_by_source"));
        }
        if let Some(loss) = number("held_out_loss") {
            self.held_out.insert(step, loss);
            self.held_out_by_source.add(step, row.get("held_out_by_source"));
        }
        if let Some(rate) = number("success_rate") {
            let whole = |key| row.get(key).and_then(Value::as_u64);
            self.success.insert(step, Success { rate, tasks: whole("solved").zip(whole("tasks")) });
        }
        if let (Some(Value::String(name)), Some(Value::Bool(true))) = (row.get("checkpoint"), row.get("best")) {
            self.best_checkpoint = Some((step, name.clone()));
        }
    }

    /// A curve over the optimizer steps.
    pub fn curve(&self, value: impl Fn(&Row) -> Option<f64>) -> Series {
        self.steps.iter().filter_map(|(step, row)| Some((*step as f64, value(row)?))).collect()
    }

    /// A sum over the optimizer steps.
    pub fn sum(&self, value: impl Fn(&Row) -> Option<f64>) -> f64 {
        self.steps.values().filter_map(value).sum()
    }

    /// Optimizer steps taken: the number of the last one.
    pub fn step_count(&self) -> u64 {
        self.steps.keys().next_back().copied().unwrap_or(0)
    }

    /// Most bytes in use.
    pub fn memory_bytes_max(&self) -> Option<f64> {
        self.steps.values().filter_map(|row| row.memory_bytes).max_by(f64::total_cmp)
    }
}

fn number(value: Option<&Value>) -> Option<f64> {
    value?.as_f64().filter(|number| number.abs() <= NUMBER_MAX)
}

/// A curve of values by step.
pub fn series(values: &BTreeMap<u64, f64>) -> Series {
    values.iter().map(|(step, value)| (*step as f64, *value)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn history(rows: &[Value]) -> History {
        let mut history = History::default();
        rows.iter().filter_map(Value::as_object).for_each(|row| history.add(row));
        history
    }

    #[test]
    fn rows_of_every_kind_are_taken_in() {
        let history = history(&[
            json!({"step": 0, "held_out_loss": 2.5, "held_out_by_source": {"a": 2.0, "b": 3.0}}),
            json!({"step": 1, "loss": 2.0, "tokens": 10, "seconds": 0.5, "memory_bytes": 7}),
            json!({"step": 2, "loss": 9.0, "loss_by_source": {"c": 9.0}}),
            json!({"step": 2, "loss": 1.0, "loss_by_source": {"d": 1.0}, "tokens": 10, "seconds": 0.0}),
            json!({"step": 2, "success_rate": 0.5, "solved": 3, "tasks": 6}),
            json!({"step": 2, "checkpoint": "step-000002", "best": true}),
        ]);
        assert_eq!(history.step_count(), 2);
        assert_eq!(history.curve(Row::tokens_per_second), [(1.0, 20.0)]);
        assert_eq!(history.by_source.losses["d"][&2], 1.0);
        assert!(history.by_source.losses["c"].is_empty(), "the step was taken again");
        assert_eq!(history.held_out_by_source.losses["b"][&0], 3.0);
        assert_eq!(history.success[&2], Success { rate: 0.5, tasks: Some((3, 6)) });
        assert_eq!(history.best_checkpoint, Some((2, "step-000002".to_owned())));
        assert_eq!(history.memory_bytes_max(), Some(7.0));
    }

    #[test]
    fn what_holds_something_else_leaves_a_gap() {
        let history = history(&[
            json!({"loss": 1.0}),
            json!({"step": -1, "loss": 1.0}),
            json!({"step": 1, "loss": "much"}),
            json!({"step": 2, "loss": 1.0, "gradient_norm": null, "tokens": [], "memory_bytes": 1e300}),
            json!({"step": 3, "held_out_by_source": [1], "success_rate": {}, "checkpoint": 5, "best": "yes"}),
        ]);
        assert_eq!(history.steps.keys().collect::<Vec<_>>(), [&2]);
        assert_eq!(history.steps[&2], Row { loss: Some(1.0), ..Row::default() });
        assert!(history.held_out_by_source.losses.is_empty() && history.success.is_empty());
        assert_eq!(history.best_checkpoint, None);
    }

    #[test]
    fn a_step_that_was_taken_again_counts_once() {
        let history = history(&[json!({"step": 1, "loss": 9.0}), json!({"step": 1, "loss": 1.0})]);
        assert_eq!(history.curve(|row| row.loss), [(1.0, 1.0)]);
    }

    #[test]
    fn of_sources_without_end_the_first_are_kept() {
        let losses: Map<String, Value> = (0..40).map(|index| (format!("s{index:02}"), json!(1.0))).collect();
        let history = history(&[json!({"step": 1, "held_out_loss": 1.0, "held_out_by_source": losses})]);
        let BySource { losses, is_cut } = history.held_out_by_source;
        assert!(losses.len() == 12 && is_cut && !history.by_source.is_cut);
    }
}
