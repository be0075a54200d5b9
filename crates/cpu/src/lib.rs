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

mod bandwidth; // the bound of decoding
mod compiled; // plain Rust for each instruction set
mod disjoint; // what threads write at the same time
mod format; // how weights lie in files
mod isa; // what this processor can do
pub mod quant; // products of quantised weights
mod team; // threads that share each step

pub use bandwidth::read_bandwidth;
pub use format::Format;
pub use isa::Isa;
pub use team::Team;
