//! What a forward pass for serving costs on a processor: packed weights, their products, paged attention.
//!
//! Kernels are compiled for several instruction sets and chosen when the program runs ([`Isa`]), never by compile
//! flags. Every number of a result is computed by one thread, in an order that depends on nothing but its own row: not
//! on the number of rows, of threads, or on how a prompt was cut. So a request alone, in a batch, continued from a
//! cache or checked as a draft gives the same bits.
//!
//! Letters: T rows (tokens), K columns of a weight (inputs), N rows of a weight (outputs), H heads, G key/value heads,
//! D head width.
#![cfg_attr(test, allow(clippy::unwrap_used))]
#![allow(clippy::needless_range_loop)] // kernels index several sets of registers by the same numbers

mod isa; // what this processor can do
mod team; // threads that share each step
mod bandwidth; // the bound of decoding
mod disjoint; // what threads write at the same time
mod memory; // tables aligned to cache lines
mod compiled; // plain Rust for each instruction set
mod simd; // vectors of sixteen f32 for each instruction set
mod format; // how weights lie in files
mod error; // what can be wrong with weights
mod quant; // products of quantised weights
mod matrix; // packed weights of any format and their products
mod lora; // adapters
mod elementwise; // norms, sums, activations, rotations
pub mod paged; // keys and values in pages, attention over them

pub use bandwidth::read_bandwidth;
pub use elementwise::{Angles, add_assign, rms_norm, rope, swiglu};
pub use error::CpuError;
pub use format::Format;
pub use isa::Isa;
pub use lora::{Lora, LoraUpdate, add_loras};
pub use matrix::{Activations, Lender, LentRows, Matrix, Part, Wants};
pub use quant::PackError;
pub use team::Team;
