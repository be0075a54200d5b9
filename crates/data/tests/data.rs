//! What this crate promises: published rows become conversations, nothing is lost silently, and the plan is a function of
//! contents, weights and seed alone.

#![allow(clippy::unwrap_used)] // a test may fail where it stands

#[path = "../../chat/tests/all/tiny.rs"]
#[allow(dead_code)]
mod tiny;

#[path = "data/room.rs"]
mod room; // data files and sources that vanish with the value
#[path = "data/tables.rs"]
mod tables; // Parquet files for tests

#[path = "data/loading.rs"]
mod loading;
#[path = "data/plans.rs"]
mod plans;
#[path = "data/previews.rs"]
mod previews;
#[path = "data/real_data.rs"]
mod real_data;
#[path = "data/shapes.rs"]
mod shapes;
