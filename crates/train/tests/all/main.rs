//! What the trainer promises: settings, plan, schedule, checkpoints, and whole runs of the binary on a tiny model.

mod plans;
mod schedules;
mod settings;
