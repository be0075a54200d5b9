//! Fine-tune a Llama-family model with LoRA: settings, data plan, optimizer loop, checkpoints and exports.
//!
//! The arithmetic is `codeact-model`'s, the mask `codeact-chat`'s; this crate decides what is learned in which order,
//! and that nothing is lost when a run stops.

pub mod config; // read first: what can be set
pub mod data; // files -> tokens and mask, counted
pub mod plan; // what is learned when
pub mod prepare; // all of it together, refused before anything is written

pub mod run; // then: the loop
pub mod optimizer;
pub mod schedule;

pub mod checkpoint; // what survives
pub mod export;
pub mod folder;
pub mod metrics;

pub mod describe; // what the user sees
pub mod evaluate;
pub mod memory;
pub mod progress;

mod error;
mod hash;

pub use error::TrainError;
