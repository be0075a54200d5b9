//! Fine-tune a Llama-family model with LoRA: settings, data plan, optimizer loop, checkpoints and exports.
//!
//! The arithmetic is `codeact-model`'s, the mask `codeact-chat`'s; this crate decides what is learned in which order,
//! and that nothing is lost when a run stops.

pub mod config; // read first: what can be set
pub mod plan; // then: what is learned when
pub mod schedule;

mod hash;
