//! Measure how many tasks a model solves by acting, make trajectories whose observations are real, and verify those of
//! others ([`verify`]).
//!
//! The first two go through the one loop of `codeact-agent` with a fresh Python session for each task. [`Actor`] is how a model
//! folder is made ready to act; the chat and the server use it too, so that what is measured is what is served.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod actor; // a model folder, ready to act
mod check; // whether suites are sound
pub mod collect; // trajectories worth learning from
pub mod earn; // functions of solved tasks that are kept as skills
mod describe; // what protects this machine, in words
mod error;
mod environment; // tasks to act in, step by step
mod grade; // what decides whether a task is solved
pub mod help; // what a model is given besides its task
mod import; // suites out of published benchmarks
pub mod measure; // suites of tasks by contestants, and what came of it
mod new_task; // a task to begin with
mod parallel; // several at once, results in order
mod run; // one task through the loop
mod sandbox; // the options about the sandbox, for all programs
mod serving; // the options about running a model, for all programs
mod solver; // what is to solve tasks: a model here or elsewhere
mod suite; // tasks as they lie on the disk
mod task; // read first: what a task is
pub mod verify; // whether the outputs in a data set are true
mod written; // files that appear whole or not at all, each under a name of its own

pub use actor::{Actor, action_format_parser, profile_parser};
pub use check::{CheckArgs, Checked, check};
pub use describe::sandbox_line;
pub use environment::{Environment, Info, Observation, Step, TaskEnvironment, TaskFacts, TaskRow};
pub use error::EvalError;
pub use grade::{Content, Grader, Query, State, Tolerance, Verdict, is_right};
pub use import::{BESIDE_TAG, Benchmark, ImportArgs, ImportOptions, Imported, import};
pub use new_task::{KINDS as GRADER_KINDS, NewTaskArgs, new_task};
pub use parallel::in_order;
pub use run::{Outcome, run_task, run_task_with};
pub use sandbox::{Sandbox, SandboxArgs};
pub use serving::{Dtype, OnDevice, Quant, ServingArgs, compute_line, limits_on};
pub use solver::{Draw, Solver};
pub use suite::{Suite, load_suites};
pub use task::{Plan, Task, TaskLimits, ToolFile, read_plans, read_tasks};
pub use written::{beside, check_distinct, check_writable, write_atomically};
