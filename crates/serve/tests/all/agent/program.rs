//! The program with a model elsewhere: `tests/scripted_endpoint.py`.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use serde_json::json;

use super::{Session, run};
use crate::client::{ask, get, post};

/// More than starting, or ending, ever takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// The replies of a message are separated as those of `tiny::SayModel`.
const SCENARIOS: &str = r#"[
    {"when": "(?s).*SAY (.*?) THEN (.*)", "replies": ["{{1}}", "{{2}}"]},
    {"when": "(?s).*SAY (.*)", "replies": ["{{1}}"]}
]"#;

/// A process that says where it listens.
pub struct Listening {
    child: Child,
    pub port: u16,
    /// What it said before.
    pub said: Vec<String>,
}

impl Listening {
    fn start(command: &mut Command, is_on_stdout: bool) -> Listening {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut listening = Listening { child, port: 0, said: Vec::new() };
        let (out, err) = (listening.child.stdout.take().unwrap(), listening.child.stderr.take().unwrap());
        let source: Box<dyn std::io::Read + Send> = if is_on_stdout { Box::new(out) } else { Box::new(err) };
        let (sender, lines) = channel();
        let each = move |line| drop(sender.send(line));
        std::thread::spawn(move || BufReader::new(source).lines().map_while(Result::ok).for_each(each));
        loop {
            let line =
                lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("it did not start: {:?}", listening.said));
            if let Some(address) = line.strip_prefix("listening on http://") {
                listening.port = address.rsplit(':').next().unwrap().parse().unwrap();
                return listening;
            }
            listening.said.push(line);
        }
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn terminate(&mut self) -> i32 {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        self.child.wait().unwrap().code().unwrap()
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The model elsewhere.
pub fn endpoint(folder: &Path) -> Listening {
    let scenarios = folder.join("scenarios.json");
    std::fs::write(&scenarios, SCENARIOS).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/scripted_endpoint.py");
    Listening::start(Command::new("python3").arg(script).arg("--scenarios").arg(scenarios), true)
}

/// The server in front of it, with its state in `folder`.
pub fn program(folder: &Path, endpoint: &Listening, options: &[&str]) -> Listening {
    let mut command = Command::new(env!("CARGO_BIN_EXE_codeact-serve"));
    command.args(["--port", "0", "--endpoint", &format!("http://127.0.0.1:{}/v1", endpoint.port), "--state-dir"]);
    Listening::start(command.arg(folder.join("state")).args(options), false)
}

#[test]
fn agents_work_with_a_model_elsewhere_and_the_plain_model_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = endpoint(folder.path());
    let mut server = program(folder.path(), &endpoint, &[]);
    let session = Session::create(server.port, json!({}));
    assert_eq!(session.answer(&run("print(1)")), "done");
    assert_eq!(session.object()["model"], "endpoint");
    for (path, body) in [
        ("/v1/chat/completions", json!({"messages": [{"role": "user", "content": "x"}]})),
        ("/v1/completions", json!({"prompt": "x"})),
        ("/v1/embeddings", json!({"input": "x"})),
        ("/tokenize", json!({"prompt": "x"})),
        ("/v1/load_lora_adapter", json!({"lora_name": "x", "lora_path": "x"})),
    ] {
        assert!(post(server.port, path, &body).error(404).contains("codeact-agent"), "{path}");
    }
    assert_eq!(get(server.port, "/v1/models").json()["data"][0]["id"], "codeact-agent");
    assert_eq!((get(server.port, "/health").status, get(server.port, "/metrics").status), (200, 200));
    let body = json!({"model": "codeact-agent", "messages": [{"role": "user", "content": run("print(6 * 7)")}]});
    assert!(post(server.port, "/v1/chat/completions", &body).body.contains("42"));
    assert_eq!(server.terminate(), 0);
}

#[test]
fn a_model_that_went_away_is_an_error_of_the_turn() {
    let folder = tempfile::tempdir().unwrap();
    let mut endpoint = endpoint(folder.path());
    let server = program(folder.path(), &endpoint, &[]);
    let session = Session::create(server.port, json!({}));
    endpoint.kill();
    let refused = ask(server.port, "POST", super::SESSIONS, "{}");
    assert_eq!(refused.status, 502, "{}", refused.body);
    let _ = session;
}

#[test]
fn two_servers_do_not_share_their_state() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = endpoint(folder.path());
    let _server = program(folder.path(), &endpoint, &[]);
    let mut second = Command::new(env!("CARGO_BIN_EXE_codeact-serve"));
    second.args(["--port", "0", "--endpoint", "http://127.0.0.1:1/v1", "--state-dir"]);
    let output = second.arg(folder.path().join("state")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("another server keeps its sessions"), "{said}");
}

#[test]
fn where_others_can_reach_it_there_is_a_key_for_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = endpoint(folder.path());
    let server = program(folder.path(), &endpoint, &["--host", "0.0.0.0"]);
    let line = server.said.iter().find(|line| line.starts_with("http://0.0.0.0:")).unwrap();
    let (address, key) = line.split_once("/#key=").unwrap();
    assert_eq!((address, key.len()), (&*format!("http://0.0.0.0:{}", server.port), 32));
    get(server.port, super::SESSIONS).error(401);
    let session = Session::create_as(server.port, Some(key), json!({}));
    assert_eq!(session.answer(&run("print(1)")), "done");
}
