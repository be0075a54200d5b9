//! Tokenizers, chat templates and settings that somebody else made, damaged or hostile: loading and using them ends, in
//! an error or in a format, and takes bounded memory.
#![allow(clippy::unwrap_used)] // a test may fail where it stands

#[path = "../../../tests/fuzz/allocation.rs"]
mod allocation;
#[path = "../../../tests/fuzz/harness.rs"]
mod harness;
#[path = "all/tiny.rs"]
#[allow(dead_code)]
mod tiny;

#[path = "fuzz/folders.rs"]
mod folders;
#[path = "fuzz/templates.rs"]
mod templates;
#[path = "fuzz/tokenizers.rs"]
mod tokenizers;
