//! Files that somebody else made, damaged in every way: loading them ends, in an error or in a model, and takes no more
//! memory than the files are worth.
#![allow(clippy::unwrap_used)] // a test may fail where it stands

#[path = "../../../tests/fuzz/allocation.rs"]
mod allocation;
#[path = "../../../tests/fuzz/harness.rs"]
mod harness;
mod source_support;

#[path = "fuzz/folder.rs"]
mod folder;
#[path = "fuzz/json.rs"]
mod json;

#[path = "fuzz/adapters.rs"]
mod adapters;
#[path = "fuzz/configs.rs"]
mod configs;
#[path = "fuzz/gguf.rs"]
mod gguf;
#[path = "fuzz/serving.rs"]
mod serving;
#[path = "fuzz/weights.rs"]
mod weights;

/// A folder in memory where there is one: files are written by the thousand.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}
