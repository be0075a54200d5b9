//! A real model in this process: its results follow from the seed, however many tries run at once.

use std::path::Path;

use serde_json::json;

use crate::{assert_code, eval, records};

#[test]
fn a_model_here_gives_the_same_results_however_many_tries_run_at_once() {
    let base =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../checkpoints/base/HuggingFaceTB--SmolLM2-135M-Instruct");
    if !base.exists() {
        println!("skipped: results of SmolLM2 (no base model)");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let tasks = folder.path().join("tasks.jsonl");
    let prompts = ["What is 3 + 4?", "Print the set {'a', 'b', 'c'}.", "Say hello."];
    let lines = prompts.iter().enumerate().map(|(index, prompt)| {
        json!({"id": format!("t{index}"), "family": "f", "prompt": prompt, "answer": "7", "limits": {"turns": 2}})
    });
    std::fs::write(&tasks, lines.map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    let run = |name: &str, parallel: &str, seed: &str| {
        let out = folder.path().join(name);
        let common = ["run", tasks.to_str().unwrap(), "--out", out.to_str().unwrap(), "--preimport="];
        let options = ["--samples", "2", "--temperature", "1", "--reply-tokens", "40", "--profile", "quickstart"];
        let model = ["--model", base.to_str().unwrap(), "--parallel", parallel, "--seed", seed];
        assert_code(&eval(&[&common[..], &options, &model].concat()), 0);
        records(&out)
    };
    let (one, four, other) = (run("one", "1", "3"), run("four", "4", "3"), run("other", "4", "4"));
    assert_eq!(one, four);
    assert_eq!(one.len(), 6);
    let said = |records: &[serde_json::Value]| -> Vec<_> {
        records.iter().map(|record| record["transcript"].to_string()).collect()
    };
    assert_ne!(said(&one)[0], said(&one)[1], "both tries of a task are the same");
    assert_ne!(said(&one), said(&other), "another seed gives the same");
}
