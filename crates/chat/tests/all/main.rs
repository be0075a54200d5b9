//! What this crate promises to the others, on small tokenizers made here and on golden files where they are present.

#![allow(clippy::unwrap_used)] // a test may fail where it stands

mod actions;
mod calls;
mod data_files;
mod golden;
mod masks;
mod prompts;
mod real_data;
mod saving;
mod templates;
mod tiny;
mod token_bytes;
