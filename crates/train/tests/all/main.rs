//! What the trainer promises: settings, plan, schedule, checkpoints, and whole runs of the binary on a tiny model.

#![allow(clippy::unwrap_used)] // a test may fail where it stands

#[allow(dead_code)] // other tests use the rest of it
mod tiny; // a model small enough to train in a blink
mod written; // settings that are all right

mod bad_input;
mod endings;
mod evaluating;
mod exports;
mod folders;
mod looks;
mod runs;
mod schedules;
mod settings;
