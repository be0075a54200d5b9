//! The learning rate of every step, known beforehand.

use crate::config::{Optimizer, ScheduleShape};

/// Learning rate by step: linear warm-up from 0, then a shape.
///
/// The same numbers as `get_linear_schedule_with_warmup`, `get_cosine_schedule_with_warmup` and
/// `get_constant_schedule_with_warmup` of transformers: with a warm-up the first step has learning rate 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    shape: ScheduleShape,
    peak: f64,
    floor_ratio: f64,
    warmup_steps: usize,
    step_count: usize,
}

impl Schedule {
    /// The schedule of a run of `step_count` optimizer steps.
    pub fn new(settings: &Optimizer, step_count: usize) -> Schedule {
        let warmup_steps = match (settings.warmup_steps, settings.warmup_ratio) {
            (Some(steps), _) => steps,
            (None, Some(ratio)) => (step_count as f64 * ratio).ceil() as usize,
            (None, None) => 0,
        };
        Schedule {
            shape: settings.schedule,
            peak: settings.learning_rate,
            floor_ratio: settings.min_lr_ratio,
            warmup_steps,
            step_count,
        }
    }

    /// Steps of the warm-up.
    pub fn warmup_steps(&self) -> usize {
        self.warmup_steps
    }

    /// Learning rate of the step with this index, counted from 0.
    pub fn learning_rate(&self, step_index: usize) -> f64 {
        if step_index < self.warmup_steps {
            return self.peak * (step_index as f64 / self.warmup_steps as f64);
        }
        let span = self.step_count.saturating_sub(self.warmup_steps).max(1);
        let progress = ((step_index - self.warmup_steps) as f64 / span as f64).min(1.0);
        let ratio = match self.shape {
            ScheduleShape::Constant => return self.peak,
            ScheduleShape::Linear => 1.0 - progress,
            ScheduleShape::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()),
        };
        self.peak * (self.floor_ratio + (1.0 - self.floor_ratio) * ratio)
    }
}
