//! Tasks as they are written, and graders: what they accept, what they refuse, and what nobody can talk them into.
#![allow(clippy::unwrap_used)]

mod checking; // suites that are not sound, and templates

mod hostile; // what models could do to be judged right

mod importing; // files of published benchmarks, as suites

mod loading; // files, and what is wrong with them

mod mutants; // right solutions, changed a little

use codeact_agent::{AgentOptions, Profile, ScriptedModel};
use codeact_eval::{Outcome, Task, load_suites, run_task};
use codeact_sandbox::Policy;
use serde_json::Value;

/// The task in one line.
pub fn task(line: &Value) -> Task {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tasks.jsonl");
    std::fs::write(&path, line.to_string()).unwrap();
    load_suites(&[path]).unwrap_or_else(|error| panic!("{error}")).remove(0).tasks.remove(0)
}

/// What comes of a model that says `turns`.
pub fn played(task: &Task, turns: &[&str]) -> Outcome {
    let model = ScriptedModel::new(turns.iter().copied());
    run_task(task, Box::new(model), &AgentOptions::new(Profile::quickstart()), &policy()).unwrap()
}

/// Without the imports that take a while.
pub fn policy() -> Policy {
    Policy { imports: Vec::new(), ..Policy::default() }
}
