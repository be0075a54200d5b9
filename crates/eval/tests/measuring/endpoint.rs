//! A server with the scripted model, as long as it is kept.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

pub struct Endpoint {
    server: Child,
    pub url: String,
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Solves `double N`, greets wrongly, and takes `delay` seconds for each word.
pub fn endpoint(folder: &Path, delay: &str) -> Endpoint {
    let execute = |code: &str| format!("<execute>\n{code}\n</execute>");
    let scenarios = json!([
        {"when": "double (\\d+)", "replies": [execute("print({{1}} * 2)"), "<solution>{{1}}</solution>"]},
        {"when": "greet", "replies": [execute("missing"), "<solution>hi</solution>"]},
    ]);
    scripted(folder, &scenarios, delay)
}

/// A server that says what `scenarios` tell it to.
pub fn scripted(folder: &Path, scenarios: &Value, delay: &str) -> Endpoint {
    let file = folder.join("scenarios.json");
    std::fs::write(&file, scenarios.to_string()).unwrap();
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/scripted_endpoint.py");
    let mut server = Command::new("python3")
        .arg(program)
        .args(["--delay", delay, "--scenarios"])
        .arg(file)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on ").unwrap();
    Endpoint { server, url: format!("{address}/v1") }
}

/// A suite of `count` tasks, every second of which the scripted model gets wrong.
pub fn suite(folder: &Path, count: usize) -> String {
    let lines = (0..count).map(|index| match index % 2 {
        0 => json!({"id": format!("t{index}"), "family": "seen/double", "prompt": format!("double {index}"), "answer": index}),
        _ => json!({"id": format!("t{index}"), "family": "new/greet", "prompt": "greet", "answer": "hello"}),
    });
    let path = folder.join("tasks.jsonl");
    std::fs::write(&path, lines.map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    path.to_str().unwrap().to_owned()
}
