//! The program itself: what it says, logs and refuses, and how it ends.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{answer, get, open, post};
use crate::tiny::write_folder;

/// More than starting, or ending, ever takes.
const PATIENCE: Duration = Duration::from_secs(60);

struct Program {
    child: Child,
    port: u16,
    /// Lines of stderr before it listened.
    before: Vec<String>,
    lines: Receiver<String>,
    _folder: tempfile::TempDir,
}

impl Program {
    fn start(config: &str, options: &[&str]) -> Program {
        let folder = tempfile::tempdir().unwrap();
        write_folder(folder.path());
        let file = folder.path().join("serve.toml");
        std::fs::write(&file, config).unwrap();
        let mut command = program(&file);
        command.args(["--name", "tiny", "--port", "0", "--threads", "1", "--kv-memory", "64", "--model"]);
        let state_dir = folder.path().join("state");
        let mut child = command.arg(folder.path()).arg("--state-dir").arg(state_dir).args(options).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let mut before = Vec::new();
        let port = loop {
            let line = lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("it did not start: {before:?}"));
            if let Some(port) = line.strip_prefix("listening on http://127.0.0.1:") {
                break port.parse().unwrap();
            }
            before.push(line);
        };
        Program { child, port, before, lines, _folder: folder }
    }

    fn terminate(&self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    }

    /// The exit code.
    fn end(&mut self) -> i32 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap();
            }
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn rest(&self) -> Vec<String> {
        self.lines.iter().collect()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It has ended already, unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program(config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_codeact-serve"));
    command.arg("--config").arg(config).stderr(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// A stream of megabytes, which runs until it is read, for a minute at least.
fn unread(port: u16) -> TcpStream {
    let body = json!({"prompt": "a", "max_tokens": 4000, "n": 8, "stream": true, "ignore_eos": true, "logprobs": 5});
    let mut stream = open(port, "POST", "/v1/completions", &body.to_string());
    let mut first = [0; 12];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    stream
}

#[test]
fn a_server_that_is_told_to_end_finishes_what_runs_and_takes_nothing_new() {
    let mut program = Program::start("", &[]);
    assert_eq!(get(program.port, "/ready").status, 200);
    let mut stream = unread(program.port);
    program.terminate();
    let deadline = Instant::now() + PATIENCE;
    while get(program.port, "/ready").status != 503 {
        assert!(Instant::now() < deadline, "it goes on as before");
    }
    let refused = post(program.port, "/v1/completions", &json!({"prompt": "a"}));
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert_eq!(get(program.port, "/health").status, 200);
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("data: [DONE]"));
    assert_eq!(program.end(), 0);
    assert!(!program.rest().iter().any(|line| line.contains("was ended")));
}

#[test]
fn what_does_not_finish_in_time_is_ended() {
    let mut program = Program::start("[limits]\ndrain_seconds = 0.3\n", &[]);
    let _stream = unread(program.port);
    program.terminate();
    assert_eq!(program.end(), 0);
    assert!(program.rest().iter().any(|line| line == "what was still running was ended"));
}

#[test]
fn it_says_what_it_serves_and_where() {
    let mut program = Program::start("", &[]);
    let said = program.before.join("\n");
    for part in
        ["model `tiny`, device cpu", "1 thread", "sandbox: ", "MiB of weights", "context 16384", "/v1/agent/sessions"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    program.terminate();
    assert_eq!(program.end(), 0);
}

fn log_lines(with_prompts: bool) -> Vec<Value> {
    let options: &[&str] = if with_prompts { &["--log-prompts"] } else { &[] };
    let mut program = Program::start("", options);
    let messages = json!([{"role": "user", "content": "a secret question"}]);
    let body = json!({"messages": messages, "max_tokens": 5, "ignore_eos": true});
    assert_eq!(post(program.port, "/v1/chat/completions", &body).status, 200);
    let mut streamed = body;
    streamed["stream"] = json!(true);
    assert_eq!(post(program.port, "/v1/chat/completions", &streamed).status, 200);
    for (path, body) in [
        ("/v1/embeddings", json!({"input": "a secret text"})),
        ("/tokenize", json!({"prompt": "a secret text"})),
        ("/apply-template", json!({"messages": messages})),
    ] {
        assert_eq!(post(program.port, path, &body).status, 200);
    }
    let fields = [("X-Request-Id", "mine"), ("Content-Type", "application/json")];
    let wrong = answer(crate::client::send(program.port, "POST", "/v1/completions", &fields, "{}"));
    assert_eq!(wrong.status, 400);
    program.terminate();
    assert_eq!(program.end(), 0);
    let rest = program.rest();
    let lines: Vec<Value> = rest.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert_eq!(lines.len(), 6, "{rest:?}");
    assert_eq!(rest.iter().any(|line| line.contains("secret")), with_prompts);
    lines
}

#[test]
fn every_request_is_one_line_of_the_log_without_its_texts() {
    for (line, status) in log_lines(false).iter().zip([200, 200, 200, 200, 200, 400]) {
        assert_eq!(
            (&line["status"], &line["complete"], &line["method"]),
            (&json!(status), &json!(true), &json!("POST"))
        );
        assert!(line["time"].as_str().unwrap().ends_with('Z') && line["ms"].as_f64().unwrap() >= 0.0);
        if status == 400 {
            assert_eq!((&line["request_id"], &line["route"]), (&json!("mine"), &json!("/v1/completions")));
            continue;
        }
        assert_eq!(line["model"], "tiny");
        if line["route"] != "/v1/chat/completions" {
            continue;
        }
        assert_eq!(line["completion_tokens"], 5);
        assert!(line["first_token_ms"].as_f64() <= line["ms"].as_f64() && line["finish"] == "length");
    }
}

#[test]
fn prompts_and_answers_are_logged_where_that_is_asked_for() {
    let lines = log_lines(true);
    for line in &lines[..5] {
        assert!(line["prompt"].as_str().is_some_and(|prompt| prompt.contains("a secret")), "{line}");
    }
    assert!(!lines[1]["answer"].as_str().unwrap().is_empty());
}

#[test]
fn settings_that_cannot_be_end_it_with_2() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("serve.toml");
    for (config, expected) in [
        ("[listen]\nprot = 1\n", "did you mean `port`?"),
        ("[limits]\nrequests_max = 0\n[model]\npath = 'x'\n", "`limits.requests_max` is 0"),
        ("", "no model"),
    ] {
        std::fs::write(&file, config).unwrap();
        let output = program(&file).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(expected), "{said}");
    }
}
