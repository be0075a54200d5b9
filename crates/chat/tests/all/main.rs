//! What this crate promises to the others, on golden files where they are present.

mod golden;
mod real_data;
mod tiny;
