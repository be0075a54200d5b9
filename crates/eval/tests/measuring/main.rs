//! `codeact-eval run`, `report` and `collect` as programs: models elsewhere and here, stopped, killed and started again.
#![allow(clippy::unwrap_used)]

mod endpoint; // a scripted model behind an address

mod elsewhere; // tasks solved by it

mod helped; // the same model with examples and with skills

mod collecting; // trajectories of a weak and a strong teacher

mod here; // a real model, however many tries run at once

mod stopping; // Ctrl-C, kills, torn lines and other settings

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// The program, without a key of whoever runs the tests.
fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_codeact-eval"));
    command.env_remove("CODEACT_ENDPOINT_KEY");
    command
}

fn eval(arguments: &[&str]) -> Output {
    program().args(arguments).output().unwrap()
}

#[track_caller]
fn assert_code(output: &Output, code: i32) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    said
}

fn json(path: PathBuf) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The records of a run, by their keys, without what is measured by a clock.
fn records(folder: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join("results.jsonl")).unwrap();
    let mut records: Vec<Value> = text.lines().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect();
    for record in &mut records {
        record.as_object_mut().unwrap().remove("seconds").unwrap();
    }
    let key = |record: &Value| ["contestant", "format", "suite", "task", "sample"].map(|key| record[key].to_string());
    records.sort_by_key(key);
    records
}
