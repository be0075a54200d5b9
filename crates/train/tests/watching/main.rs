//! What is seen of a run from outside: its page, the schema of its settings, and jobs that are told to stop.

#![allow(clippy::unwrap_used)] // a test may fail where it stands

#[path = "../all/tiny.rs"]
#[allow(dead_code)] // other tests use the rest of it
mod tiny;

mod deploy;
mod events;
mod reports;
mod schema;
mod tasks;
