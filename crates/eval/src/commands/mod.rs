//! The commands, each with its options. Each returns what goes to stdout.

pub mod check; // whether suites are sound

pub mod collect; // trajectories of teachers, or from scripted plans

pub mod import; // a suite out of a published benchmark

mod progress; // a bar on a terminal

pub mod report; // a page about results

pub mod run; // how many tasks are solved

pub mod skills; // functions that are kept

pub mod verify; // whether a data set is true
