//! The HTTP service on a loopback port, with a tiny model and scripted agents.
#![allow(clippy::unwrap_used)]

mod agent;
mod client;
mod completions;
mod tiny;
