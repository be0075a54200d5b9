//! `codeact-eval --endpoint`: tasks solved by a model behind an address.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};

/// A server with the scripted model, as long as it is kept.
struct Endpoint(Child, String);

impl Drop for Endpoint {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn endpoint(folder: &Path) -> Endpoint {
    let reply = |code: &str| format!("<execute>\n{code}\n</execute>");
    let scenarios = json!([
        {"when": "double (\\d+)", "replies": [reply("print({{1}} * 2)"), "<solution>42</solution>"]},
        {"when": "greet", "replies": ["<solution>hi</solution>"]},
    ]);
    let file = folder.join("scenarios.json");
    std::fs::write(&file, scenarios.to_string()).unwrap();
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/scripted_endpoint.py");
    let mut child = Command::new("python3")
        .arg(program)
        .arg("--scenarios")
        .arg(file)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on ").unwrap().to_owned();
    Endpoint(child, address)
}

fn eval(options: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_codeact-eval")).args(options).env_remove("CODEACT_ENDPOINT_KEY").output().unwrap()
}

#[test]
fn tasks_are_solved_by_a_model_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let Endpoint(_, address) = &endpoint(folder.path());
    let tasks = folder.path().join("tasks.jsonl");
    let lines = [
        json!({"id": "a", "family": "seen/double", "prompt": "double 21", "answer": "42"}),
        json!({"id": "b", "family": "seen/greet", "prompt": "greet", "answer": "hello"}),
    ];
    std::fs::write(&tasks, lines.map(|line| line.to_string()).join("\n")).unwrap();
    let out = folder.path().join("out.json");
    let (tasks, out_name) = (tasks.to_str().unwrap(), out.to_str().unwrap());
    let url = format!("{address}/v1");
    let common = ["--tasks", tasks, "--out", out_name, "--preimport=", "--endpoint", &url];
    let done = eval(&[&common[..], &["--profile", "quickstart"]].concat());
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    assert!(said.contains("2 tasks, model `scripted`, at http://"), "{said}");
    let report: Value = serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap();
    assert_eq!((&report["solved"], &report["solved_by_code"], &report["tasks"]), (&json!(1), &json!(1), &json!(2)));
    assert_eq!((&report["model"], &report["profile"]), (&json!("scripted"), &json!("quickstart")));

    let refused = eval(&[&common[..], &["--model", "x"]].concat());
    assert_eq!(refused.status.code(), Some(2));
    let refused = eval(&[&common[..], &["--threads", "1"]].concat());
    assert_eq!(refused.status.code(), Some(2));
    let bad = eval(&["--tasks", tasks, "--preimport=", "--endpoint", "no address"]);
    assert_eq!(bad.status.code(), Some(2));
    let gone = eval(&["--tasks", tasks, "--preimport=", "--endpoint", "http://127.0.0.1:1/v1"]);
    let said = String::from_utf8_lossy(&gone.stderr);
    assert!(gone.status.code() == Some(1) && said.contains("127.0.0.1:1"), "{said}");
}
