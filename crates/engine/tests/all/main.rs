//! The engine with real decoders: equal to itself in company, and to recorded generations.
#![allow(clippy::unwrap_used)]

mod adapter;
mod card;
mod equivalence;
mod golden;
mod tiny;
