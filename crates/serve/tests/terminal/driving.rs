//! A scripted model, and the client on a pseudo-terminal.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_codeact-chat");

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// The client with a model that says what it is told to, and a folder of its own.
pub struct Client {
    endpoint: Child,
    url: String,
    pub folder: TempDir,
    pub arguments: Vec<String>,
    pub environment: Vec<(String, String)>,
}

/// What was typed, and what had to be on the screen before.
pub struct Steps(Vec<Value>);

impl Steps {
    pub fn new() -> Steps {
        Steps(Vec::new())
    }

    /// Waits until this is shown.
    pub fn see(mut self, text: &str) -> Steps {
        self.0.push(json!({"expect": text}));
        self
    }

    /// Types this without the line end.
    pub fn press(mut self, text: &str) -> Steps {
        self.0.push(json!({"type": text}));
        self
    }

    /// Waits for the prompt: the mark by which an editor asks for pasted text in one piece.
    pub fn prompted(self) -> Steps {
        self.see("\x1b[?2004h").see("> ")
    }

    /// Waits for the prompt and types a line.
    pub fn say(self, line: &str) -> Steps {
        self.prompted().press(&format!("{line}\r"))
    }

    /// Waits for the question about code and answers it.
    pub fn answer(self, line: &str) -> Steps {
        self.see("[a]lways: ").press(&format!("{line}\r"))
    }
}

impl Client {
    /// * `scenarios`: pairs of what is asked, as a regular expression, and the replies to it.
    pub fn new(scenarios: &[(&str, &[&str])]) -> Client {
        let folder = tempfile::tempdir().unwrap();
        let scenarios: Vec<Value> =
            scenarios.iter().map(|(when, replies)| json!({"when": when, "replies": replies})).collect();
        let path = folder.path().join("scenarios.json");
        std::fs::write(&path, json!(scenarios).to_string()).unwrap();
        let mut command = Command::new("python3");
        command.arg(repository("tests/scripted_endpoint.py")).arg("--scenarios").arg(path);
        // Slow enough that a key can fall into a reply.
        command.args(["--delay", "0.005"]).stdout(Stdio::piped());
        let mut endpoint = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(endpoint.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = format!("{}/v1", line.trim().strip_prefix("listening on ").unwrap());
        Client { endpoint, url, folder, arguments: Vec::new(), environment: Vec::new() }
    }

    pub fn with(mut self, arguments: &[&str]) -> Client {
        self.arguments.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    fn prepare(&self, command: &mut Command) {
        command.args(["--endpoint", &self.url, "--preimport="]).args(&self.arguments);
        command.current_dir(self.folder.path()).env("XDG_STATE_HOME", self.folder.path()).env("TERM", "xterm");
        command.env_remove("NO_COLOR").envs(self.environment.iter().map(|(key, value)| (key, value)));
    }

    /// Runs it on a pseudo-terminal, and gives what was shown and the exit status.
    pub fn drive(&self, steps: Steps) -> (String, i64) {
        let mut command = Command::new("python3");
        command.arg(repository("crates/serve/tests/terminal/drive.py")).arg(PROGRAM);
        self.prepare(&mut command);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(json!(steps.0).to_string().as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let result: Value = serde_json::from_slice(&output.stdout).unwrap();
        (result["shown"].as_str().unwrap().to_owned(), result["status"].as_i64().unwrap())
    }

    /// Runs it with `input` in place of a terminal.
    pub fn pipe(&self, input: &str) -> Output {
        let mut command = Command::new(PROGRAM);
        self.prepare(&mut command);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.endpoint.kill();
        let _ = self.endpoint.wait();
    }
}
