//! What the trainer promises: settings, plan, schedule, checkpoints, and whole runs of the binary on a tiny model.

mod tiny; // a model small enough to train in a blink

mod bad_input;
mod folders;
mod plans;
mod runs;
mod schedules;
mod settings;
