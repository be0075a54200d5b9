//! Many ranks, one run: threads and processes give what one rank gives, and nobody waits for a rank that is gone.

#![allow(clippy::unwrap_used)] // a test may fail where it stands

#[path = "../all/tiny.rs"]
#[allow(dead_code)] // made for more tests than these
mod tiny;

mod equal; // the same numbers as one rank
mod meeting; // how ranks find each other, and what else may come to a port
mod processes; // whole programs, killed and stopped
